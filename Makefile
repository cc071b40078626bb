# SPDX-License-Identifier: GPL-3.0-or-later
# The two commands of the README, and shorter ones for work on the project. Everything else they need, they install.
SHELL := /bin/sh
PYTHON = $$(.ci/python)

.PHONY: help demo test units lint molecule e2e more matrix faults fault killer lab lock docs clean

help: ## Show these targets
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: ## Run the main job on the built-in lab: a host that fails is diagnosed, cured and proved cured
	@python=$(PYTHON) && exec $$python -m lab demo

test: ## Pass all tests
	@python=$(PYTHON) && exec $$python tests/run.py

units: ## Only the unit tests (Python 2.7 and 3), a minute
	@python=$(PYTHON) && exec $$python tests/run.py units-2.7 units-3 controller

lint: ## Only the linters and ansible-test sanity
	@python=$(PYTHON) && exec $$python tests/run.py sanity lint package

molecule: ## Only the Molecule scenarios, on systemd containers
	@python=$(PYTHON) && exec $$python tests/run.py molecule

e2e: ## Only the tests on the lab's virtual machine
	@python=$(PYTHON) && exec $$python tests/run.py e2e

more: ## On the virtual machine: runc exchanged without a reboot, and a job as AWX runs it
	@python=$(PYTHON) && exec $$python tests/run.py more

matrix: ## The tests on the virtual machine with every case instead of some: a controller killed at each single task, a loop over all ids
	@python=$(PYTHON) && EL7OPS_MATRIX=1 exec $$python tests/run.py e2e more

faults: ## The trial boot against every fault, about three quarters of an hour; writes the table of docs/safety.md
	@python=$(PYTHON) && exec $$python tests/run.py faults

fault: export EL7OPS_FAULT = $(NAME)
fault: ## One of them: make fault NAME="the kernel panics at once"
	@python=$(PYTHON) && exec $$python tests/run.py faults

killer: ## The controller killed, or the power cut, at ten random moments of strategy upgrade, about three quarters of an hour
	@python=$(PYTHON) && exec $$python tests/run.py killer

lab: ## Build the lab's virtual machine, or find it in the cache
	@python=$(PYTHON) && exec $$python -m lab build

lock: ## Pin the tools anew after a change of requirements.in (needs uv)
	uv pip compile --universal --python-version 3.10 --generate-hashes --no-header requirements.in --output-file requirements.lock

docs: ## Make the generated documents anew: variables in the roles' READMEs, CHANGELOG.rst
	@python=$(PYTHON) && bin=$$($$python -m lab.venv) && $$bin/python tests/role_tables.py --write && $$bin/python tests/changelog.py

clean: ## Remove what runs left in this checkout (not the cache)
	rm -rf build

# Each command sets up all it needs: Python 3.11 to 3.13 and a package index are enough. `make help` lists them.

# Python for the environment: the first of these that works, or the one you name: make demo PYTHON=/path/to/python3
PYTHON ?= python3.11 python3.12 python3.13 python3

VENV := .venv
RUN := $(VENV)/bin/python
# Compiling all that is installed takes half of the time; Python compiles what it imports.
INSTALL := $(RUN) -m pip install --quiet --disable-pip-version-check --no-input --no-compile

# Of 3D Slicer's core, for `make viewer`.
VIEWER := .viewer-venv

# Stamps of the environment. They are absent while something is being installed, so that an interrupted installation is
# begun again from an empty environment, never from half a package.
CREATED := $(VENV)/.created
LIBRARY := $(VENV)/.only-library
RUNTIME := $(VENV)/.runtime
DEVELOPMENT := $(VENV)/.development

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help demo cohort-demo validate test everything fuzz lint train evaluate bench bundle docs conformance conformance-tools
.PHONY: viewer viewer-tools tools deploy-files map map-lock map-sizing map-test map-tools pacs-demo pacs-demo-tools clean FORCE

help: ## List the commands
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' Makefile

demo: $(LIBRARY) ## Analyse a synthetic study whose truth is known, and show what came out (DEMO_ARGS=...)
	@$(RUN) -m groundglass demo $(DEMO_ARGS)

cohort-demo: $(DEVELOPMENT) ## An archive of phantoms as a cohort: killed in the middle, resumed (COHORT_DEMO_ARGS=...)
	@$(RUN) -m groundglass.cohort.demo $(COHORT_DEMO_ARGS)

validate: $(RUNTIME) ## Prove that this copy works on this machine: a report to sign (VALIDATE_ARGS=...)
	@$(RUN) -m groundglass.selftest.build_record
	@$(RUN) -m groundglass.selftest --out validation-report $(VALIDATE_ARGS)

# Each process has a file at a time, and one thread: most tests have work for one core only. The longest files come first.
# One process more than there are cores, since some tests wait for servers; eight at the most, each takes a gigabyte.
TEST_WORKERS ?= $(shell cores=`nproc`; echo $$((cores < 8 ? cores + 1 : 8)))
test: $(DEVELOPMENT) ## Run the tests (TEST_ARGS=--quick: in under 2 minutes; TEST_ARGS="-k segmentation" selects)
	@OMP_NUM_THREADS=1 $(RUN) -m pytest --numprocesses $(TEST_WORKERS) --dist loadfile --no-loadscope-reorder $(TEST_ARGS)

everything: ## What CI runs and its long forms: an hour or two; before a release, and after work on what they check
	.ci/run
	@$(MAKE) --no-print-directory fuzz FUZZ_ARGS="--seconds 600"
	@$(MAKE) --no-print-directory conformance
	@$(MAKE) --no-print-directory viewer VIEWER_ARGS="--pictures `mktemp --directory`"
	@$(MAKE) --no-print-directory validate
	@$(MAKE) --no-print-directory map-test

fuzz: $(DEVELOPMENT) ## Look for input that breaks the scan, the selection or the volume, for a minute (FUZZ_ARGS=...)
	@$(RUN) -m tests.fuzz $(FUZZ_ARGS)

lint: $(DEVELOPMENT) ## Check style, formatting, types and which way imports point
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
	@$(RUN) -m mypy
	@$(RUN) -c "from importlinter.cli import lint_imports_command; lint_imports_command()"

train: $(DEVELOPMENT) ## Train both networks, cross-validate and write the tables (TRAIN_ARGS=...)
	@$(RUN) -m training.train $(TRAIN_ARGS)

evaluate: $(DEVELOPMENT) ## Write the tables of the model cards again (EVALUATE_ARGS=...)
	@$(RUN) -m training.evaluate $(EVALUATE_ARGS)

bench: $(DEVELOPMENT) ## Time each stage of the analysis, the SEG writer and the input against the SDK's (BENCH_ARGS=...)
	@$(RUN) -m benchmarks.stages $(BENCH_ARGS)
	@$(RUN) -m benchmarks.segmentation_writer
	@$(RUN) -m benchmarks.input

docs: $(DEVELOPMENT) ## Build the documentation as a site, site/index.html; a broken link fails (DOCS_ARGS=...)
	@DISABLE_MKDOCS_2_WARNING=true NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs build --quiet $(DOCS_ARGS)
	@echo "site/index.html"

bundle: $(DEVELOPMENT) ## Write both networks as MONAI Bundles into bundles/build (BUNDLE_ARGS=...)
	@$(RUN) -m bundles $(BUNDLE_ARGS)

conformance: $(DEVELOPMENT) conformance-tools ## Check every output with tools of others (CONFORMANCE_ARGS=...)
	@$(RUN) -m conformance $(CONFORMANCE_ARGS)

pacs-demo: $(DEVELOPMENT) pacs-demo-tools ## Send a synthetic study to an Orthanc here, and list the results it gets (PACS_DEMO_ARGS=--keep)
	@$(RUN) -m deploy.orthanc.demo $(PACS_DEMO_ARGS)

viewer: $(DEVELOPMENT) $(VIEWER)/.created viewer-tools ## Open the outputs in OHIF and 3D Slicer, and compare with the files (VIEWER_ARGS=...)
	@$(RUN) -m conformance.viewer $(VIEWER_ARGS)

# Slicer's core brings VTK and much else, which has no business in the environment of the application.
$(VIEWER)/.created: conformance/viewer/slicer.txt | $(CREATED)
	@echo "Installing 3D Slicer's core (once, a minute)"
	@rm -f $@
	@$(RUN) -m venv --clear $(VIEWER)
	@$(VIEWER)/bin/python -m pip install --quiet --disable-pip-version-check --no-input --no-compile -r $<
	@touch $@

# The image. MAP_ARGS="--variant cpu --engine docker": see `python -m image.build --help`.
map: $(CREATED) ## Build the container image, a MAP (BASE=nvidia, ubuntu, debian or an image; MAP_ARGS=...)
	@[ "$(BASE)" != debian ] || $(MAKE) --no-print-directory map-tools
	@$(RUN) -m image.build $(if $(BASE),--base $(BASE)) $(MAP_ARGS)

map-test: $(DEVELOPMENT) ## Build the image on Debian packages, offline, and run it locked down in every way (MAP_TEST_ARGS=...)
	-@$(MAKE) --no-print-directory map-tools
	@$(RUN) -m pytest tests/image/container $(MAP_TEST_ARGS)

map-lock: $(DEVELOPMENT) ## Resolve the image's packages again, with hashes, after a change of requirements.txt or image/tools.txt
	@$(RUN) -m image.lock

map-sizing: $(DEVELOPMENT) ## Measure time and memory of the image, and write them into docs/deployment.md (SIZING_ARGS=...)
	@$(RUN) -m image.sizing $(SIZING_ARGS)

deploy-files: $(RUNTIME) ## Write deploy/mercure and deploy/kubernetes again, after a change of app.yaml
	@$(RUN) -m deploy.generate

# The programs of others that commands start, as program:package. Debian may start a service with its orthanc package;
# the check starts an Orthanc of its own on other ports, and doesn't need the service.
conformance-tools: NEEDED := dcmdump:dcmtk dciodvfy:dicom3tools DicomSRValidator:pixelmed-apps Orthanc:orthanc \
	/usr/share/orthanc/plugins/libOrthancDicomWeb.so:orthanc-dicomweb
pacs-demo-tools: NEEDED := dcmsend:dcmtk Orthanc:orthanc /usr/share/orthanc/plugins/libOrthancDicomWeb.so:orthanc-dicomweb
viewer-tools: NEEDED := chromium:chromium node:nodejs npm:npm dcmsend:dcmtk Orthanc:orthanc \
	/usr/share/orthanc/plugins/libOrthancDicomWeb.so:orthanc-dicomweb
# An image can be built and run with no registry.
map-tools: NEEDED := podman:podman runc:runc /usr/lib/podman/netavark:netavark /usr/lib/podman/aardvark-dns:aardvark-dns \
	iptables:iptables mmdebstrap:mmdebstrap
tools: conformance-tools pacs-demo-tools viewer-tools map-tools
conformance-tools pacs-demo-tools viewer-tools map-tools:
	@command -v apt-get >/dev/null || exit 0; \
	missing=; \
	for needed in $(NEEDED); do \
		PATH="$$PATH:/usr/sbin" command -v "$${needed%:*}" >/dev/null || [ -e "$${needed%:*}" ] || \
			missing="$$missing $${needed#*:}"; \
	done; \
	[ -n "$$missing" ] || exit 0; \
	echo "Installing the Debian packages$$missing"; \
	sudo=; [ "`id -u`" = 0 ] || sudo=sudo; \
	$$sudo apt-get update -qq && \
	$$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null || { \
		echo "make $(@:-tools=) needs the Debian packages$$missing, which could not be installed (see above)." >&2; \
		echo "Have the administrator run: apt-get install$$missing" >&2; \
		exit 1; }

clean: ## Remove the environment and the caches
	rm -rf $(VENV) $(VIEWER) .pytest_cache .ruff_cache .mypy_cache .hypothesis fuzz-findings
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# An environment whose interpreter has gone, after an upgrade of the system for instance, is built anew.
ifneq ($(shell $(RUN) -c 'print("works")' 2>/dev/null),works)
$(CREATED): FORCE
endif

$(CREATED):
	@rm -f $(CREATED) $(LIBRARY) $(RUNTIME) $(DEVELOPMENT)
	@reason="no Python was found"; \
	for python in $(PYTHON); do \
		"$$python" -c '' 2>/dev/null || continue; \
		"$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || { \
			reason="$$python is `"$$python" --version 2>&1`"; continue; }; \
		"$$python" -c 'import ensurepip, venv' 2>/dev/null || { \
			reason="$$python lacks the venv module (Debian and Ubuntu: apt install python3-venv)"; continue; }; \
		echo "Creating $(VENV) with `"$$python" --version`"; \
		"$$python" -m venv --clear $(VENV) && touch $@ && exit 0; \
		reason="$$python could not create $(VENV), see above"; \
	done; \
	echo "Groundglass needs Python 3.11, 3.12 or 3.13 with its venv module: $$reason." >&2; \
	echo "Install it, or name it: make PYTHON=/path/to/python3 ..." >&2; \
	exit 1

$(LIBRARY): requirements-library.txt $(CREATED)
	@echo "Installing what the library needs (once, a minute or two)"
	@rm -f $(CREATED) $(LIBRARY) $(RUNTIME) $(DEVELOPMENT)
	@$(INSTALL) -r requirements-library.txt
	@touch $(CREATED) $(LIBRARY)

$(RUNTIME): requirements.txt requirements-library.txt $(CREATED)
	@echo "Installing what the application needs (once, some minutes)"
	@rm -f $(CREATED) $(LIBRARY) $(RUNTIME) $(DEVELOPMENT)
	@$(INSTALL) -r requirements.txt
	@touch $(CREATED) $(LIBRARY) $(RUNTIME)

$(DEVELOPMENT): requirements-dev.txt requirements-cohort.txt requirements.txt requirements-library.txt deploy/orthanc/requirements.txt image/tools.txt $(CREATED)
	@echo "Installing what the application, its tests and its training need (once, some minutes)"
	@rm -f $(CREATED) $(LIBRARY) $(RUNTIME) $(DEVELOPMENT)
	@$(INSTALL) -r requirements-dev.txt
	@touch $(CREATED) $(LIBRARY) $(RUNTIME) $(DEVELOPMENT)

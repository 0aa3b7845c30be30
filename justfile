# Short names for the commands of CONTRIBUTING.md; what they do is written in hatch.toml.

default:
    @just --list

# Create the environments
init:
    pip install hatch
    hatch env create default
    hatch env create types
    hatch env create lint

# Start Redis, PostgreSQL, MySQL, RabbitMQ and an SQS stand-in
services-up:
    docker compose up --detach --wait

# Stop them and drop their data
services-down:
    docker compose down --volumes

# Run every test
test *ARGS:
    hatch run default:test {{ARGS}}

# Run the tests of the packages
test-unit *ARGS:
    hatch run default:unit {{ARGS}}

# Run what no single package can test
test-integration *ARGS:
    hatch run default:integration {{ARGS}}

# Run every test and report coverage
test-cov *ARGS:
    hatch run default:cov {{ARGS}}

# Format the code
format:
    hatch run lint:format

# Check style and format
lint:
    hatch run lint:check

# Check types and the import contracts
typecheck:
    hatch run types:check

# Run everything that continuous integration runs
ci:
    hatch run default:ci

# Check style before every commit
setup-hooks:
    ./setup-pre-commit.sh

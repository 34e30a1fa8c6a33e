import { botSettings } from './bot-settings.ts'
import type { Setting } from './setting.ts'

/**
 * Every variable that Errand reads, under its own name. A name with several meanings is followed by what reads it
 * (`ERRAND_TOKEN of runner`). The tables in the docs are generated from this one. It contains only data, because
 * `errand run` loads it.
 */
export const settings = {
  ERRAND_URL: {
    ...{ type: 'text', old: ['AVTOMATIKA_URL'], page: 'cli', for: 'commands that use a hub' },
    about: 'address of the hub',
  },
  ERRAND_TOKEN: {
    ...{ type: 'text', old: ['AVTOMATIKA_TOKEN'], token: true, page: 'cli', for: 'commands that use a hub' },
    about: 'API token',
  },
  'ERRAND_TOKEN of agent servers': {
    ...{ type: 'text', token: true, page: 'cli', for: '`agent-server`, `dispatch`' },
    about: 'token of the host agents (the server and `dispatch` share it)',
  },
  ERRAND_DATA: {
    ...{ type: 'text', page: 'cli', for: '`up`, commands' },
    about: 'data folder; default `~/.errand/data`',
  },
  ERRAND_ADDR: {
    ...{ type: 'text', old: ['OPENRUNNER_ADDR'], default: ':3000', page: 'cli', for: '`up`' },
    about: 'address to listen on; default `127.0.0.1:3000`',
  },
  ERRAND_HEARTBEAT: {
    ...{ type: 'duration', default: '5s', from: 100, to: 2 ** 31 - 1, refused: 'usage' },
    hint: 'write it as 5s or 10m, 0.1s to 24d',
    ...{ page: 'cli', for: '`up`', about: 'how often the hub pings its runners; default `5s`' },
  },
  ERRAND_LOST_AFTER: {
    ...{ type: 'duration', default: '60s', from: 100, to: 2 ** 31 - 1, refused: 'usage' },
    hint: 'write it as 5s or 10m, 0.1s to 24d',
    ...{ page: 'cli', for: '`up`' },
    about: 'how long a runner may be away before its work is lost; default `60s`',
  },
  ERRAND_RETENTION: {
    ...{ type: 'retention', default: '90d', refused: 'usage' },
    hint: 'write it as 30d, 12h or 2w, or as forever to keep every run',
    ...{ page: 'cli', for: '`up`', about: 'how long the hub keeps ended runs; default `90d`; `forever`' },
  },
  ERRAND_MAX_OUTPUT_RUN: {
    ...{ type: 'output_size', default: '10GB', refused: 'usage' },
    hint: 'write it as 10GB or 500MB (at least 1MB), or as none for no limit',
    ...{ page: 'cli', for: '`up`' },
    about:
      'output that the hub keeps for each run; default `10GB` ([operations.md](operations.md#how-much-output-is-kept))',
  },
  ERRAND_MAX_OUTPUT_USER: {
    ...{ type: 'output_size', default: 'none', refused: 'usage' },
    hint: 'write it as 10GB or 500MB (at least 1MB), or as none for no limit',
    ...{ page: 'cli', for: '`up`' },
    about: 'output that the hub keeps for all runs of a user; default `none` (no limit)',
  },
  ERRAND_MAX_ARTIFACTS_RUN: {
    ...{ type: 'output_size', default: '1GB', refused: 'usage' },
    hint: 'write it as 10GB or 500MB (at least 1MB), or as none for no limit',
    ...{ page: 'cli', for: '`up`' },
    about:
      'artifacts that the hub keeps for each run; default `1GB` ([artifacts.md](artifacts.md#how-much-is-kept))',
  },
  ERRAND_MAX_ARTIFACTS_USER: {
    ...{ type: 'output_size', default: 'none', refused: 'usage' },
    hint: 'write it as 10GB or 500MB (at least 1MB), or as none for no limit',
    ...{ page: 'cli', for: '`up`' },
    about: 'artifacts that the hub keeps for all runs of a user; default `none` (no limit)',
  },
  ERRAND_MAX_BOTS: {
    ...{ type: 'whole', old: ['MAX_BOTS_PER_USER'], from: 0, to: 10_000 },
    hint: 'Give a number of bots, such as 3.',
    ...{ page: 'cli', for: '`up`' },
    about: 'bots that a user may run at once; default `3` ([bots.md](bots.md#quotas))',
  },
  ERRAND_BOT_HOURS: {
    ...{ type: 'hours', hint: 'Give a number of hours, such as 24 or 0.5, or "unlimited".' },
    ...{ page: 'cli', for: '`up`', about: 'longest life of a bot in hours; default `24`; `unlimited`' },
  },
  ERRAND_BOT_DEFAULT_HOURS: {
    ...{ type: 'hours', hint: 'Give a number of hours, such as 24 or 0.5, or "unlimited".' },
    ...{ page: 'cli', for: '`up`' },
    about: 'life of a bot that does not ask for one, in hours ([bots.md](bots.md#quotas))',
  },
  ERRAND_BOT_DATA: {
    ...{ type: 'size_or_none', hint: 'Give a size, such as 5GB; 0 allows no data.' },
    ...{ page: 'cli', for: '`up`' },
    about:
      'data that all bots of a user may keep together; default `5GB` ([bots.md](bots.md#where-a-bot-can-write))',
  },
  ERRAND_CLIENT_TOKEN: {
    ...{ type: 'own_token', old: ['CLIENT_TOKEN'], page: 'cli', for: '`up`' },
    about: 'token that you choose for the user `client` ([bots.md](bots.md#for-callers-of-the-bot-runner))',
  },
  ERRAND_WORKER_TOKEN: {
    ...{ type: 'own_token', old: ['GLOBAL_WORKER_TOKEN'], page: 'cli', for: '`up`' },
    about: 'token that you choose for all runners',
  },
  ERRAND_HOST_ALLOW: {
    ...{ type: 'list', default: '', page: 'cli', for: '`up`' },
    about: "host names under which a proxy on the hub's machine forwards requests ([deploy.md](deploy.md))",
  },
  ERRAND_TRUSTED_PROXIES: {
    ...{ type: 'list', default: '', page: 'cli', for: '`up`' },
    about:
      'addresses and ranges of the proxies whose `X-Forwarded-For` the hub trusts ([deploy.md](deploy.md)); default: none',
  },
  ERRAND_BASE_PATH: {
    ...{ type: 'path_prefix', default: '', refused: 'usage' },
    hint: 'write it as /errand; the proxy removes it from the requests that it forwards',
    ...{ page: 'cli', for: '`up`' },
    about: 'path under which a proxy serves the hub ([deploy.md](deploy.md))',
  },
  ERRAND_MAX_READERS: {
    ...{ type: 'whole', from: 1, to: 1_000_000, refused: 'usage' },
    hint: 'give a number of readers, such as 256',
    ...{ page: 'cli', for: '`up`' },
    about: 'streams of events, logs and output that a user may have open at once; default `256`',
  },
  ERRAND_TASKS_PER_OWNER: {
    ...{ type: 'whole', from: 1, to: 10_000, refused: 'usage' },
    hint: 'give a number of tasks, such as 8',
    ...{ page: 'cli', for: '`up`' },
    about:
      'coding tasks of a user that may run at once; default: no limit ([tasks-api.md](tasks-api.md#limits))',
  },
  ERRAND_TASKS_PER_REPOSITORY: {
    ...{ type: 'whole', from: 1, to: 10_000, refused: 'usage' },
    hint: 'give a number of tasks, such as 8',
    ...{ page: 'cli', for: '`up`' },
    about: 'coding tasks of a repository that may run at once; default: no limit',
  },
  ERRAND_TASKS_IN_REVIEW: {
    ...{ type: 'whole', from: 1, to: 10_000, refused: 'usage' },
    hint: 'give a number of tasks, such as 8',
    ...{ page: 'cli', for: '`up`' },
    about: 'tasks of a repository that may wait to be merged while new ones begin; default: no limit',
  },
  ERRAND_TASK_RETRY: {
    ...{ type: 'duration', default: '30s', from: 1, to: 86_400_000, refused: 'usage' },
    hint: 'write it as 30s or 5m, at most 1d',
    ...{ page: 'cli', for: '`up`' },
    about: 'wait before a task whose try was lost is tried again, doubled each time; default `30s`',
  },
  ERRAND_REVIEW_POLL: {
    ...{ type: 'duration', default: '30s', from: 1, to: 86_400_000, refused: 'usage' },
    hint: 'write it as 30s or 5m, at most 1d',
    ...{ page: 'cli', for: '`up`' },
    about: 'first interval between two checks of a pull request; default `30s`; it grows to ten times that',
  },
  ERRAND_TASKS_UNKNOWN: {
    type: 'choice',
    choices: ['refuse', 'keep'],
    ...{ default: 'refuse', refused: 'usage', hint: 'write refuse or keep', page: 'cli', for: '`up`' },
    about:
      '`keep`: create an unknown task that another system reports ([tasks-api.md](tasks-api.md#task-registry)); default `refuse`',
  },
  ERRAND_TASK_REGISTRY_URL: {
    ...{ type: 'text', old: ['TASK_REGISTRY_URL'], page: 'cli', for: '`up`' },
    about: 'address of an external task registry that the hub reports all tasks to',
  },
  ERRAND_TASK_REGISTRY_TOKEN: {
    ...{ type: 'text', token: true, page: 'cli', for: '`up`', about: 'token of the task registry' },
  },
  ERRAND_METRICS: {
    type: 'choice',
    choices: ['open'],
    ...{ refused: 'usage', hint: 'write open, or leave it unset' },
    ...{ page: 'cli', for: '`up`', about: '`open`: callers on this machine need no token for `/metrics`' },
  },
  ERRAND_LOG_FORMAT: {
    type: 'choice',
    choices: ['text', 'json'],
    ...{ default: 'text', page: 'cli', for: '`up`, `runner`' },
    about: 'format of log lines: `text` (default) or `json`',
  },
  ERRAND_LOG_LEVEL: {
    type: 'choice',
    choices: ['debug', 'info', 'warn', 'error'],
    ...{ default: 'info', old: ['RUNNER_LOG_LEVEL'], page: 'cli', for: '`up`, `runner`' },
    about: 'least severe log lines to write: `debug`, `info` (default), `warn` or `error`',
  },
  ERRAND_REPO_POOL_URL: {
    ...{ type: 'text', old: ['REPO_POOL_URL'], page: 'cli', for: '`runner`, `up`' },
    about: "address of an external repo pool; runs work in its slots instead of the runner's checkouts",
  },
  ERRAND_REPO_POOL_TOKEN: {
    ...{ type: 'text', token: true, page: 'cli', for: '`runner`, `up`', about: 'token of the repo pool' },
  },
  ERRAND_ARTIFACT_STORE_URL: {
    ...{ type: 'text', old: ['ARTIFACT_STORE_URL'], page: 'cli', for: '`runner`, `up`' },
    about:
      "address of an external artifact store that gets a copy of each artifact, beside the hub's own store",
  },
  ERRAND_ARTIFACT_STORE_TOKEN: {
    ...{ type: 'text', token: true, page: 'cli', for: '`runner`, `up`' },
    about: 'token of the artifact store',
  },
  ERRAND_TASK_TIMEOUT: {
    ...{ type: 'number', old: ['RUNNER_TIMEOUT'], above: 0, to: 31_536_000 },
    hint: 'Give a number of seconds, such as 1800.',
    ...{ page: 'cli', for: '`task run --config`' },
    about: 'longest duration of one try of a task, in seconds',
  },
  ERRAND_CONFIG: {
    ...{ type: 'text', page: 'cli', for: '`up`' },
    about: "path of the hub's `errand.yaml` ([runners.md](runners.md#groups-labels-modes))",
  },
  ERRAND_SECRETS_KEY: {
    ...{ type: 'text', page: 'cli', for: '`up`' },
    about: 'key that encrypts the secrets; default: the file `secrets.key` in the data folder',
  },
  ERRAND_SECRETS_KEY_FILE: {
    ...{ type: 'text', page: 'cli', for: '`up`', about: 'file that holds this key' },
  },
  ERRAND_SECRETS_DIR: {
    ...{ type: 'text', default: '/run/secrets', page: 'cli', for: 'everything that runs steps' },
    about: 'folder of [mounted secrets](secrets.md#mounted-secrets); default `/run/secrets`',
  },
  ERRAND_AGENTS_DIR: {
    ...{ type: 'text', page: 'cli', for: '`agent`, `agents`, `runner`' },
    about: 'folder where agents are installed; default `~/.errand/agents`',
  },
  ERRAND_MODEL_PRICES: {
    ...{ type: 'text', page: 'cli', for: '`agent`, `runner`, `up`' },
    about: 'JSON file with [prices of models](agents.md#prices) that override the built-in ones',
  },
  ERRAND_MODELS: {
    ...{ type: 'list', page: 'cli', for: '`agent`, `runner`, `up`' },
    about:
      '[models](agents.md#models-that-may-be-used) that agents in a box may use, separated by commas, such as `claude-haiku-*`',
  },
  ERRAND_MODEL_GATE: {
    ...{ type: 'text', page: 'cli', for: '`runner`, `runner model-gate`' },
    about: 'folder of the [model gate](agents.md#keys-beside-the-runner) that serves a runner without keys',
  },
  ERRAND_HUB_URL: {
    ...{ type: 'hub_url', old: ['ADOS_API_URL', 'ORCHESTRATOR_URL'], page: 'cli', for: '`runner`' },
    hint: 'Give the address of the hub, such as https://errand.example.com.',
    about: 'address of the hub',
  },
  'ERRAND_TOKEN of runner': {
    ...{ type: 'text', old: ['ADOS_TOKEN', 'WORKER_TOKEN'], token: true, page: 'cli', for: '`runner`' },
    about: 'runner token',
  },
  ERRAND_ENROLL_TOKEN: {
    ...{ type: 'text', token: true, page: 'cli', for: '`runner`' },
    about: 'enroll token; at its first start the runner exchanges it for a token that it saves',
  },
  ERRAND_RUNNER_ID: {
    ...{ type: 'name', old: ['ADOS_RUNNER_ID', 'WORKER_ID'], page: 'cli', for: '`runner`' },
    about: 'unique id of the runner; default: the hostname',
  },
  WORKSPACE_DIR: {
    ...{ type: 'text', page: 'cli', for: '`runner`' },
    about:
      'folder that the runner works in; default `~/.errand/workspace`. A relative `output_path` starts here',
  },
  ERRAND_LIMIT_MEMORY: {
    ...{ type: 'machine_size', hint: 'Give an amount of memory, such as 512MB.' },
    ...{ page: 'cli', for: '`runner`, `up`, `agent-server`' },
    about: 'most memory for one try of a step ([limits.md](limits.md#the-machines-own-limits))',
  },
  ERRAND_LIMIT_CPUS: {
    ...{ type: 'number', above: 0, to: 100_000, hint: 'Give a number of cores, such as 2 or 0.5.' },
    ...{ page: 'cli', for: '`runner`, `up`, `agent-server`', about: 'most cores for one try of a step' },
  },
  ERRAND_LIMIT_PROCESSES: {
    ...{ type: 'count', to: 999_999_999, hint: 'Give a number of at least 1, such as 200.' },
    ...{ page: 'cli', for: '`runner`, `up`, `agent-server`', about: 'most processes for one try of a step' },
  },
  ERRAND_LIMIT_DISK: {
    ...{ type: 'machine_size', hint: 'Give a size, such as 10GB.' },
    ...{ page: 'cli', for: '`runner`, `up`, `agent-server`', about: 'most disk for one try of a step' },
  },
  ERRAND_LIMITS: {
    type: 'choice',
    choices: ['auto', 'cgroup_v2', 'cgroup_v1', 'watchdog'],
    ...{ default: 'auto', page: 'cli', for: '`runner`, `up`, `agent-server`, `run`' },
    about: 'how limits are enforced: `auto` (default), `cgroup_v2`, `cgroup_v1` or `watchdog`',
  },
  ERRAND_ISOLATION: {
    type: 'choice',
    choices: ['auto', 'none', 'sandbox', 'container'],
    ...{ default: 'auto', page: 'cli', for: '`runner`, `up`, `run`, `agent`' },
    about:
      'minimum isolation of steps from the machine: `auto` (default; agents get a sandbox where the machine supports one), `none`, `sandbox` or `container`',
  },
  ERRAND_NETWORK: {
    ...{
      type: 'network',
      hint: 'Write all, models or none, or hosts separated by commas: github.com,*.npmjs.org',
    },
    ...{ page: 'cli', for: '`runner`, `up`, `run`, `agent`' },
    about: 'most that steps in a box may reach: `all`, `models`, `none`, or hosts separated by commas',
  },
  ERRAND_SANDBOX_MOUNTS: {
    ...{ type: 'mounts', default: '' },
    hint: 'Write absolute paths separated by commas; add =rw to make a path writable: /opt/tools,/var/cache/npm=rw',
    ...{ page: 'cli', for: '`runner`, `up`, `run`, `agent`' },
    about:
      'files and folders of the machine that are visible in every box, read-only, or writable with `=rw`: `/opt/tools,/var/cache/npm=rw`',
  },
  ERRAND_SANDBOX_IMAGE: {
    ...{ type: 'text', page: 'cli', for: '`runner`, `up`, `run`, `agent`' },
    about: 'container image for steps that do not name one',
  },
  ERRAND_MADE_BOX: {
    type: 'choice',
    choices: ['container', 'pod'],
    ...{ page: 'cli', for: '`runner`' },
    about:
      '`container` or `pod`: this provisioned runner is itself the box of steps that have no other box. The provisioner sets it',
  },
  ERRAND_MADE_RUNNER: {
    ...{ type: 'text', page: 'cli', for: '`runner`' },
    about:
      'name of this provisioned runner. The hub sets it. A provisioned runner exits when its hub stays away or its folder is gone',
  },
  ERRAND_SANDBOX_REQUIRED: {
    type: 'choice',
    choices: ['yes', 'no'],
    ...{ default: 'no', page: 'cli', for: '`runner`, `up`, `run`, `agent`' },
    about: '`yes`: refuse agents if the machine supports no box; default `no`',
  },
  ERRAND_SANDBOX_LOGIN: {
    type: 'choice',
    choices: ['none', 'copy'],
    ...{ default: 'none', page: 'cli', for: '`runner`, `up`, `run`, `agent`' },
    about: "`copy`: agents in a box get a copy of the machine's log-ins, which they can read; default `none`",
  },
  ERRAND_GIT_FOLDERS: {
    ...{ type: 'list', default: '', page: 'cli', for: '`runner`' },
    about: 'folders of the machine that `file://` repositories may be in, separated by commas',
  },
  ERRAND_GIT_SSH_KEY: {
    ...{ type: 'text', page: 'cli', for: '`runner`' },
    about:
      'file with a private key, without a passphrase, for repositories over SSH; if unset, they are refused',
  },
  ERRAND_GIT_KNOWN_HOSTS: {
    ...{ type: 'text', page: 'cli', for: '`runner`' },
    about:
      'file with the host keys of SSH servers; default: `known_hosts` beside the key. Other servers are refused',
  },
  ERRAND_GIT_CA: {
    ...{ type: 'text', page: 'cli', for: '`runner`' },
    about: "file with certificates (PEM) for repositories over https; default: the system's",
  },
  GIT_TOKEN: {
    ...{ type: 'text', page: 'cli', for: '`runner`' },
    about: 'repository token for steps that get none from the hub ([forges.md](forges.md)); no step sees it',
  },
  GIT_TOKEN_FILE: {
    ...{ type: 'text', page: 'cli', for: '`runner`' },
    about:
      'file that holds this token, read on each use. Without both, the file `GIT_TOKEN` in `ERRAND_SECRETS_DIR` is used',
  },
  GITHUB_TOKEN: {
    ...{ type: 'text', page: 'cli', for: '`runner`' },
    about: 'token for repositories on github.com only, used if there is no other',
  },
  ERRAND_GIT_TOKEN_HOSTS: {
    ...{ type: 'list', default: '', page: 'cli', for: '`runner`' },
    about:
      "servers (`host` or `host:port`, separated by commas) that get the runner's own `GIT_TOKEN`; if unset, every server does",
  },
  ERRAND_POOL_SLOTS: {
    ...{ type: 'whole', default: '64', from: 1, to: 10_000, hint: 'Give a number of checkouts, at least 1.' },
    ...{ page: 'cli', for: '`runner`', about: 'checkouts of repositories at once; default `64`' },
  },
  ERRAND_POOL_SPACE: {
    ...{ type: 'machine_size', default: '20GB', hint: 'Give a size, such as 20GB.' },
    ...{ page: 'cli', for: '`runner`' },
    about:
      'disk for mirrors and unused checkouts of repositories; default `20GB`. Beyond it, the least recently used are deleted',
  },
  ERRAND_POOL_DAYS: {
    ...{ type: 'number', default: '30', above: 0, to: 10_000, hint: 'Give a number of days, such as 30.' },
    ...{ page: 'cli', for: '`runner`' },
    about: 'days after which unused mirrors and checkouts are deleted; default `30`',
  },
  ERRAND_POOL_MIN_FREE: {
    ...{ type: 'machine_size', default: '2GB', hint: 'Give a size, such as 2GB.' },
    ...{ page: 'cli', for: '`runner`' },
    about: 'free disk space below which the runner makes no checkout; default `2GB`',
  },
  ERRAND_MODE: {
    type: 'choice',
    choices: ['chat', 'issue', 'all'],
    ...{ default: 'all', old: ['ADOS_MODE'], page: 'cli', for: '`runner`' },
    about:
      'work that the runner takes: `chat` (agent conversations), `issue` (coding tasks) or `all` (default)',
  },
  ERRAND_GROUP: {
    ...{ type: 'name', default: 'default', old: ['ADOS_GROUP'], page: 'cli', for: '`runner`' },
    about: 'runner group; default `default`',
  },
  ERRAND_LABELS: {
    ...{ type: 'text', page: 'cli', for: '`runner`' },
    about: 'labels that steps can ask for (`gpu=a100,disk=ssd`), in addition to those of `--label`',
  },
  ERRAND_CPUS: {
    ...{ type: 'number', above: 0, to: 100_000, old: ['ADOS_CPUS'] },
    hint: 'Give a number of cores, such as 4 or 0.5.',
    ...{ page: 'cli', for: '`runner`' },
    about: 'cores that the runner offers, such as `4`; default: as measured',
  },
  ERRAND_MEMORY: {
    ...{ type: 'machine_size', old: ['ADOS_MEMORY'] },
    hint: 'Give an amount of memory, such as 8GB or 512MB.',
    ...{ page: 'cli', for: '`runner`' },
    about: 'memory that the runner offers, such as `8GB`; default: as measured',
  },
  ERRAND_SLOTS: {
    ...{ type: 'whole', from: 1, to: 100_000, hint: 'Give a number of steps at once, at least 1.' },
    ...{ page: 'cli', for: '`runner`, `up`', about: 'steps that run at once, like `--slots`' },
  },
  ERRAND_HOSTNAME: {
    ...{ type: 'name', old: ['ADOS_HOSTNAME'], page: 'cli', for: '`runner`', about: 'host name to show' },
  },
  ERRAND_TENANT_ID: {
    ...{ type: 'name', old: ['ADOS_TENANT_ID'], page: 'cli', for: '`runner`' },
    about: 'tenant that the runner expects its token to belong to',
  },
  // The hub passes its own token to its own runner, which masks it.
  ERRAND_LOCAL_TOKEN: { type: 'text', token: true, about: "the token of the hub's own machine" },

  ...botSettings,
  ERRAND_PUBLIC_URL: {
    ...{ type: 'text', page: 'cli', for: '`up`' },
    about:
      "address at which people open the hub, used in links ([notifications.md](notifications.md)); default: the hub's own",
  },
  ERRAND_SMTP_URL: {
    ...{ type: 'text', token: true, page: 'cli', for: '`up`' },
    about: 'mail server, `smtps://USER:PASSWORD@mail.example.org`; without it the hub sends no mail',
  },
  ERRAND_SMTP_FROM: {
    ...{ type: 'text', page: 'cli', for: '`up`' },
    about: 'sender of this mail; default: `errand@` and the name of the machine',
  },
  ERRAND_NOTIFY_ALLOW: {
    ...{ type: 'text', default: '', page: 'cli', for: '`up`' },
    about:
      'servers that webhooks and ntfy may use in addition to https:// servers on the public internet, such as `http://ntfy.lan:8080`',
  },

  // Read from a step's environment, or otherwise from its machine's. The built-in agent checks them with its own
  // schema.
  ERRAND_MODEL: {
    type: 'text',
    default: 'gpt-4.1',
    page: 'agents',
    about: 'model to use if no `model` is given',
  },
  ERRAND_MODEL_TIMEOUT_SECONDS: {
    ...{ type: 'text', default: '120', page: 'agents' },
    about: 'how long the service may send nothing, at most 300',
  },
  ERRAND_MODEL_RETRIES: {
    ...{ type: 'text', default: '3', page: 'agents', about: 'how often a failed request is repeated' },
  },
  ERRAND_MODEL_MAX_TOKENS: { type: 'text', page: 'agents', about: 'most tokens for one answer' },
  ERRAND_MODEL_CONTEXT_CHARS: {
    ...{ type: 'text', default: '400000', page: 'agents' },
    about: 'characters of the conversation; beyond it, old tool outputs are shortened',
  },
} as const satisfies Readonly<Record<string, Setting>>

export type SettingKey = keyof typeof settings

/** Returns the variable's own name. */
export const nameOf = (key: string): string => key.split(' ', 1)[0]!

/** Returns every name under which it is looked up, in order. */
export const namesOf = (key: SettingKey): readonly string[] => [
  nameOf(key),
  ...((settings[key] as Setting).old ?? []),
]

export const settingKeys = Object.keys(settings) as SettingKey[]

/** Variables that hold a token of Errand itself, by all their names. */
export const tokenVariables: readonly string[] = [
  ...new Set(settingKeys.filter((key) => (settings[key] as Setting).token).flatMap(namesOf)),
]

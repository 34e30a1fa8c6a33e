import { botSettings } from './bot-settings.ts'
import type { Setting } from './setting.ts'

/**
 * Every variable that Errand reads, under its own name. A name with several meanings is followed by what reads it
 * (`ERRAND_TOKEN of runner`). The tables in the docs are generated from this one. It contains only data, because
 * `errand run` loads it.
 */
export const settings = {
  ERRAND_URL: {
    ...{ type: 'text', old: ['AVTOMATIKA_URL'], page: 'cli', for: 'commands for a hub' },
    about: 'the hub',
  },
  ERRAND_TOKEN: {
    ...{ type: 'text', old: ['AVTOMATIKA_TOKEN'], token: true, page: 'cli', for: 'commands for a hub' },
    about: 'API token',
  },
  'ERRAND_TOKEN of agent servers': {
    ...{ type: 'text', token: true, page: 'cli', for: '`agent-server`, `dispatch`' },
    about: 'token of the host agents',
  },
  ERRAND_DATA: {
    ...{ type: 'text', page: 'cli', for: '`up`, commands' },
    about: 'data folder, `~/.errand/data`',
  },
  ERRAND_ADDR: {
    ...{ type: 'text', old: ['OPENRUNNER_ADDR'], default: ':3000', page: 'cli', for: '`up`' },
    about: 'where to listen, `127.0.0.1:3000`',
  },
  ERRAND_HEARTBEAT: {
    ...{ type: 'duration', default: '5s', from: 100, to: 2 ** 31 - 1, refused: 'usage' },
    hint: 'write it as 5s or 10m, 0.1s to 24d',
    ...{ page: 'cli', for: '`up`', about: 'how often runners are asked for a sign of life, `5s`' },
  },
  ERRAND_LOST_AFTER: {
    ...{ type: 'duration', default: '60s', from: 100, to: 2 ** 31 - 1, refused: 'usage' },
    hint: 'write it as 5s or 10m, 0.1s to 24d',
    ...{ page: 'cli', for: '`up`', about: 'how long one may be away before its work is lost, `60s`' },
  },
  ERRAND_RETENTION: {
    ...{ type: 'retention', default: '90d', refused: 'usage' },
    hint: 'write it as 30d, 12h or 2w, or forever to keep all',
    ...{ page: 'cli', for: '`up`', about: 'how long ended runs are kept, `90d`' },
  },
  ERRAND_MAX_OUTPUT_RUN: {
    ...{ type: 'output_size', default: '10GB', refused: 'usage' },
    hint: 'write it as 10GB or 500MB, at least 1MB, or none for no limit',
    ...{ page: 'cli', for: '`up`' },
    about:
      'output that the hub keeps of a run, `10GB` ([operations.md](operations.md#how-much-output-is-kept))',
  },
  ERRAND_MAX_OUTPUT_USER: {
    ...{ type: 'output_size', default: 'none', refused: 'usage' },
    hint: 'write it as 10GB or 500MB, at least 1MB, or none for no limit',
    ...{ page: 'cli', for: '`up`', about: 'output that it keeps of all runs of a user, `none`' },
  },
  ERRAND_MAX_ARTIFACTS_RUN: {
    ...{ type: 'output_size', default: '1GB', refused: 'usage' },
    hint: 'write it as 10GB or 500MB, at least 1MB, or none for no limit',
    ...{ page: 'cli', for: '`up`' },
    about: 'artifacts that the hub keeps of a run, `1GB` ([artifacts.md](artifacts.md#how-much-is-kept))',
  },
  ERRAND_MAX_ARTIFACTS_USER: {
    ...{ type: 'output_size', default: 'none', refused: 'usage' },
    hint: 'write it as 10GB or 500MB, at least 1MB, or none for no limit',
    ...{ page: 'cli', for: '`up`', about: 'artifacts that it keeps of all runs of a user, `none`' },
  },
  ERRAND_MAX_BOTS: {
    ...{ type: 'whole', old: ['MAX_BOTS_PER_USER'], from: 0, to: 10_000 },
    hint: 'It is a number of bots, such as 3.',
    ...{ page: 'cli', for: '`up`', about: 'bots of a user at once, `3` ([bots.md](bots.md#quotas))' },
  },
  ERRAND_BOT_HOURS: {
    ...{ type: 'hours', hint: 'It is a number of hours, such as 24 or 0.5, or "unlimited".' },
    ...{ page: 'cli', for: '`up`', about: 'longest life of a bot, `24`; `unlimited`' },
  },
  ERRAND_BOT_DEFAULT_HOURS: {
    ...{ type: 'hours', hint: 'It is a number of hours, such as 24 or 0.5, or "unlimited".' },
    ...{
      page: 'cli',
      for: '`up`',
      about: 'life of a bot that asks for none ([bots.md](bots.md#quotas))',
    },
  },
  ERRAND_BOT_DATA: {
    ...{ type: 'size_or_none', hint: 'It is a size, such as 5GB; 0 allows none.' },
    ...{ page: 'cli', for: '`up`' },
    about: "data of a user's bots together, `5GB` ([bots.md](bots.md#where-a-bot-can-write))",
  },
  ERRAND_CLIENT_TOKEN: {
    ...{ type: 'own_token', old: ['CLIENT_TOKEN'], page: 'cli', for: '`up`' },
    about: 'token of your choice for the user `client` ([bots.md](bots.md#for-callers-of-the-bot-runner))',
  },
  ERRAND_WORKER_TOKEN: {
    ...{ type: 'own_token', old: ['GLOBAL_WORKER_TOKEN'], page: 'cli', for: '`up`' },
    about: 'token of your choice for all runners',
  },
  ERRAND_HOST_ALLOW: {
    ...{ type: 'list', default: '', page: 'cli', for: '`up`' },
    about: "names under which a proxy on the hub's machine passes people on ([deploy.md](deploy.md))",
  },
  ERRAND_TRUSTED_PROXIES: {
    ...{ type: 'list', default: '', page: 'cli', for: '`up`' },
    about:
      'addresses and ranges of proxies whose `X-Forwarded-For` says who calls ([deploy.md](deploy.md)); none',
  },
  ERRAND_BASE_PATH: {
    ...{ type: 'path_prefix', default: '', refused: 'usage' },
    hint: 'write it as /errand; the proxy takes it off what it passes on',
    ...{ page: 'cli', for: '`up`' },
    about: 'path under which a proxy shows the hub ([deploy.md](deploy.md))',
  },
  ERRAND_MAX_READERS: {
    ...{ type: 'whole', from: 1, to: 1_000_000, refused: 'usage' },
    hint: 'it is a number of readers, such as 256',
    ...{ page: 'cli', for: '`up`' },
    about: 'streams of events, logs and output that a user may have open, `256`',
  },
  ERRAND_TASKS_PER_OWNER: {
    ...{ type: 'whole', from: 1, to: 10_000, refused: 'usage' },
    hint: 'it is a number of tasks, such as 8',
    ...{ page: 'cli', for: '`up`' },
    about:
      'coding tasks of a user that are at work at once, any number ([tasks-api.md](tasks-api.md#limits))',
  },
  ERRAND_TASKS_PER_REPOSITORY: {
    ...{ type: 'whole', from: 1, to: 10_000, refused: 'usage' },
    hint: 'it is a number of tasks, such as 8',
    ...{ page: 'cli', for: '`up`', about: 'the same of a repository' },
  },
  ERRAND_TASKS_IN_REVIEW: {
    ...{ type: 'whole', from: 1, to: 10_000, refused: 'usage' },
    hint: 'it is a number of tasks, such as 8',
    ...{ page: 'cli', for: '`up`', about: 'tasks of a repository that wait to be merged while others begin' },
  },
  ERRAND_TASK_RETRY: {
    ...{ type: 'duration', default: '30s', from: 1, to: 86_400_000, refused: 'usage' },
    hint: 'write it as 30s or 5m, at most 1d',
    ...{
      page: 'cli',
      for: '`up`',
      about: 'wait after a try of a task that was lost, doubled each time, `30s`',
    },
  },
  ERRAND_REVIEW_POLL: {
    ...{ type: 'duration', default: '30s', from: 1, to: 86_400_000, refused: 'usage' },
    hint: 'write it as 30s or 5m, at most 1d',
    ...{ page: 'cli', for: '`up`' },
    about: 'wait between two looks at a pull request at first, `30s`; it grows to ten times that',
  },
  ERRAND_TASKS_UNKNOWN: {
    type: 'choice',
    choices: ['refuse', 'keep'],
    ...{ default: 'refuse', refused: 'usage', hint: 'it is refuse or keep', page: 'cli', for: '`up`' },
    about: '`keep`: a task that another system tells of is made ([tasks-api.md](tasks-api.md#task-registry))',
  },
  ERRAND_TASK_REGISTRY_URL: {
    ...{ type: 'text', old: ['TASK_REGISTRY_URL'], page: 'cli', for: '`up`' },
    about: 'a task registry elsewhere that is told of all tasks',
  },
  ERRAND_TASK_REGISTRY_TOKEN: {
    ...{ type: 'text', token: true, page: 'cli', for: '`up`', about: 'its token' },
  },
  ERRAND_METRICS: {
    type: 'choice',
    choices: ['open'],
    ...{ refused: 'usage', hint: 'it is open, or not set' },
    ...{ page: 'cli', for: '`up`', about: '`open`: `/metrics` needs no token on this machine' },
  },
  ERRAND_LOG_FORMAT: {
    type: 'choice',
    choices: ['text', 'json'],
    ...{ default: 'text', page: 'cli', for: '`up`, `runner`', about: '`text` or `json`' },
  },
  ERRAND_LOG_LEVEL: {
    type: 'choice',
    choices: ['debug', 'info', 'warn', 'error'],
    ...{ default: 'info', old: ['RUNNER_LOG_LEVEL'], page: 'cli', for: '`up`, `runner`' },
    about: '`debug`, `info`, `warn` or `error`',
  },
  ERRAND_REPO_POOL_URL: {
    ...{ type: 'text', old: ['REPO_POOL_URL'], page: 'cli', for: '`runner`, `up`' },
    about: "a repo pool elsewhere whose slots runs work in, instead of the runner's checkouts",
  },
  ERRAND_REPO_POOL_TOKEN: {
    ...{ type: 'text', token: true, page: 'cli', for: '`runner`, `up`', about: 'its token' },
  },
  ERRAND_ARTIFACT_STORE_URL: {
    ...{ type: 'text', old: ['ARTIFACT_STORE_URL'], page: 'cli', for: '`runner`, `up`' },
    about: "an artifact store elsewhere that has what runs keep too, beside the hub's",
  },
  ERRAND_ARTIFACT_STORE_TOKEN: {
    ...{ type: 'text', token: true, page: 'cli', for: '`runner`, `up`', about: 'its token' },
  },
  ERRAND_TASK_TIMEOUT: {
    ...{ type: 'number', old: ['RUNNER_TIMEOUT'], above: 0, to: 31_536_000 },
    hint: 'It is a number of seconds, such as 1800.',
    ...{ page: 'cli', for: '`task run --config`', about: 'longest time of a try of a task, in seconds' },
  },
  ERRAND_CONFIG: {
    ...{ type: 'text', page: 'cli', for: '`up`' },
    about: 'its `errand.yaml` ([runners.md](runners.md#groups-labels-modes))',
  },
  ERRAND_SECRETS_KEY: {
    ...{ type: 'text', page: 'cli', for: '`up`' },
    about: 'key of the secrets; else `secrets.key` in the data folder',
  },
  ERRAND_SECRETS_KEY_FILE: {
    ...{ type: 'text', page: 'cli', for: '`up`', about: 'the file that holds it' },
  },
  ERRAND_SECRETS_DIR: {
    ...{ type: 'text', default: '/run/secrets', page: 'cli', for: 'all that run steps' },
    about: 'folder of [mounted secrets](secrets.md#mounted-secrets), `/run/secrets`',
  },
  ERRAND_AGENTS_DIR: {
    ...{ type: 'text', page: 'cli', for: '`agent`, `agents`, `runner`' },
    about: 'where agents are installed, `~/.errand/agents`',
  },
  ERRAND_MODEL_PRICES: {
    ...{ type: 'text', page: 'cli', for: '`agent`, `runner`, `up`' },
    about: 'JSON file with [prices of models](agents.md#prices), over those that Errand knows',
  },
  ERRAND_MODELS: {
    ...{ type: 'list', page: 'cli', for: '`agent`, `runner`, `up`' },
    about:
      '[models](agents.md#models-that-may-be-used) that agents in a box may use, with commas between, such as `claude-haiku-*`',
  },
  ERRAND_MODEL_GATE: {
    ...{ type: 'text', page: 'cli', for: '`runner`, `runner model-gate`' },
    about:
      'folder of the [gate to models](agents.md#keys-beside-the-runner) beside a runner that has no keys',
  },
  ERRAND_HUB_URL: {
    ...{ type: 'hub_url', old: ['ADOS_API_URL', 'ORCHESTRATOR_URL'], page: 'cli', for: '`runner`' },
    hint: 'It is the address of the hub, such as https://errand.example.com.',
    about: 'the hub',
  },
  'ERRAND_TOKEN of runner': {
    ...{ type: 'text', old: ['ADOS_TOKEN', 'WORKER_TOKEN'], token: true, page: 'cli', for: '`runner`' },
    about: 'runner token',
  },
  ERRAND_ENROLL_TOKEN: {
    ...{ type: 'text', token: true, page: 'cli', for: '`runner`' },
    about: 'exchanged at the first start for a token that is kept',
  },
  ERRAND_RUNNER_ID: {
    ...{ type: 'name', old: ['ADOS_RUNNER_ID', 'WORKER_ID'], page: 'cli', for: '`runner`' },
    about: 'unique id, else the hostname',
  },
  WORKSPACE_DIR: {
    ...{ type: 'text', page: 'cli', for: '`runner`' },
    about: 'where work happens, `~/.errand/workspace`; what a relative `output_path` is seen from',
  },
  ERRAND_LIMIT_MEMORY: {
    ...{ type: 'machine_size', hint: 'It is an amount of memory, such as 512MB.' },
    ...{ page: 'cli', for: '`runner`, `up`, `agent-server`' },
    about: 'most memory that one try of a step gets ([limits.md](limits.md#the-machines-own-limits))',
  },
  ERRAND_LIMIT_CPUS: {
    ...{ type: 'number', above: 0, to: 100_000, hint: 'It is a number of cores, such as 2 or 0.5.' },
    ...{ page: 'cli', for: '`runner`, `up`, `agent-server`', about: 'most cores of one try' },
  },
  ERRAND_LIMIT_PROCESSES: {
    ...{ type: 'count', to: 999_999_999, hint: 'It is a number from 1, such as 200.' },
    ...{ page: 'cli', for: '`runner`, `up`, `agent-server`', about: 'most processes of one try' },
  },
  ERRAND_LIMIT_DISK: {
    ...{ type: 'machine_size', hint: 'It is a size, such as 10GB.' },
    ...{ page: 'cli', for: '`runner`, `up`, `agent-server`', about: 'most disk of one try' },
  },
  ERRAND_LIMITS: {
    type: 'choice',
    choices: ['auto', 'cgroup_v2', 'cgroup_v1', 'watchdog'],
    ...{ default: 'auto', page: 'cli', for: '`runner`, `up`, `agent-server`, `run`' },
    about: 'what holds limits: `auto`, `cgroup_v2`, `cgroup_v1` or `watchdog`',
  },
  ERRAND_ISOLATION: {
    type: 'choice',
    choices: ['auto', 'none', 'sandbox', 'container'],
    ...{ default: 'auto', page: 'cli', for: '`runner`, `up`, `run`, `agent`' },
    about:
      'least that stands between steps and the machine: `auto` (agents get a sandbox where one can be had), `none`, `sandbox` or `container`',
  },
  ERRAND_NETWORK: {
    ...{
      type: 'network',
      hint: 'It is all, models, none, or hosts with commas between: github.com,*.npmjs.org',
    },
    ...{ page: 'cli', for: '`runner`, `up`, `run`, `agent`' },
    about: 'most that steps in a box may reach: `all`, `models`, `none`, or hosts with commas between',
  },
  ERRAND_SANDBOX_MOUNTS: {
    ...{ type: 'mounts', default: '' },
    hint: 'It is absolute paths with commas between, each with =rw where it may be written to: /opt/tools,/var/cache/npm=rw',
    ...{ page: 'cli', for: '`runner`, `up`, `run`, `agent`' },
    about:
      'files and folders of the machine that stand in every box, read-only, or with `=rw` writable: `/opt/tools,/var/cache/npm=rw`',
  },
  ERRAND_SANDBOX_IMAGE: {
    ...{ type: 'text', page: 'cli', for: '`runner`, `up`, `run`, `agent`' },
    about: 'image of containers that steps run in, where they name none',
  },
  ERRAND_MADE_BOX: {
    type: 'choice',
    choices: ['container', 'pod'],
    ...{ page: 'cli', for: '`runner`' },
    about:
      '`container` or `pod`: this runner is one that was made for one run, and that is told as the box of what has no other; set where runners are made',
  },
  ERRAND_MADE_RUNNER: {
    ...{ type: 'text', page: 'cli', for: '`runner`' },
    about:
      'the name that the hub gave this provisioned runner; set by the hub. A provisioned runner ends itself when its hub stays away or its folder is gone',
  },
  ERRAND_SANDBOX_REQUIRED: {
    type: 'choice',
    choices: ['yes', 'no'],
    ...{ default: 'no', page: 'cli', for: '`runner`, `up`, `run`, `agent`' },
    about: '`yes`: agents are refused where no box can be had',
  },
  ERRAND_SANDBOX_LOGIN: {
    type: 'choice',
    choices: ['none', 'copy'],
    ...{ default: 'none', page: 'cli', for: '`runner`, `up`, `run`, `agent`' },
    about: '`copy`: agents in a box get a copy of the sign-ins of the machine, which they can read',
  },
  ERRAND_GIT_FOLDERS: {
    ...{ type: 'list', default: '', page: 'cli', for: '`runner`' },
    about: 'folders of the machine below which repositories may be named by `file://`, with commas between',
  },
  ERRAND_GIT_SSH_KEY: {
    ...{ type: 'text', page: 'cli', for: '`runner`' },
    about: 'file of a private key, without a passphrase, for repositories by SSH; unset: they are refused',
  },
  ERRAND_GIT_KNOWN_HOSTS: {
    ...{ type: 'text', page: 'cli', for: '`runner`' },
    about: "file of the keys of servers by SSH, `known_hosts` beside the key; others' are refused",
  },
  ERRAND_GIT_CA: {
    ...{ type: 'text', page: 'cli', for: '`runner`' },
    about: "file of certificates (PEM) for repositories by https, else the system's",
  },
  GIT_TOKEN: {
    ...{ type: 'text', page: 'cli', for: '`runner`' },
    about:
      'token for repositories of steps that the hub gives none ([forges.md](forges.md)); no step sees it',
  },
  GIT_TOKEN_FILE: {
    ...{ type: 'text', page: 'cli', for: '`runner`' },
    about: 'file that holds it, read anew each time; then `GIT_TOKEN` in `ERRAND_SECRETS_DIR`',
  },
  GITHUB_TOKEN: {
    ...{ type: 'text', page: 'cli', for: '`runner`' },
    about: 'token for repositories of github.com alone, where there is no other',
  },
  ERRAND_GIT_TOKEN_HOSTS: {
    ...{ type: 'list', default: '', page: 'cli', for: '`runner`' },
    about:
      "servers (`host` or `host:port`) that the runner's own `GIT_TOKEN` is for, with commas between; unset: that of any repository",
  },
  ERRAND_POOL_SLOTS: {
    ...{ type: 'whole', default: '64', from: 1, to: 10_000, hint: 'It is a number of checkouts, from 1.' },
    ...{ page: 'cli', for: '`runner`', about: 'checkouts of repositories at once, `64`' },
  },
  ERRAND_POOL_SPACE: {
    ...{ type: 'machine_size', default: '20GB', hint: 'It is a size, such as 20GB.' },
    ...{ page: 'cli', for: '`runner`' },
    about: 'disk for copies and unused checkouts of repositories, `20GB`; past it the longest unused go',
  },
  ERRAND_POOL_DAYS: {
    ...{ type: 'number', default: '30', above: 0, to: 10_000, hint: 'It is a number of days, such as 30.' },
    ...{ page: 'cli', for: '`runner`', about: 'they go when unused for so long, `30`' },
  },
  ERRAND_POOL_MIN_FREE: {
    ...{ type: 'machine_size', default: '2GB', hint: 'It is a size, such as 2GB.' },
    ...{ page: 'cli', for: '`runner`', about: 'no checkout is made where the disk has less left, `2GB`' },
  },
  ERRAND_MODE: {
    type: 'choice',
    choices: ['chat', 'issue', 'all'],
    ...{
      default: 'all',
      old: ['ADOS_MODE'],
      page: 'cli',
      for: '`runner`',
      about: '`chat`, `issue` or `all`',
    },
  },
  ERRAND_GROUP: {
    ...{ type: 'name', default: 'default', old: ['ADOS_GROUP'], page: 'cli', for: '`runner`' },
    about: 'group, `default`',
  },
  ERRAND_LABELS: {
    ...{ type: 'text', page: 'cli', for: '`runner`' },
    about: 'labels that steps can ask for (`gpu=a100,disk=ssd`), beside those of `--label`',
  },
  ERRAND_CPUS: {
    ...{ type: 'number', above: 0, to: 100_000, old: ['ADOS_CPUS'] },
    hint: 'It is a number of cores, such as 4 or 0.5.',
    ...{ page: 'cli', for: '`runner`', about: 'cores that it offers (`4`), else measured' },
  },
  ERRAND_MEMORY: {
    ...{ type: 'machine_size', old: ['ADOS_MEMORY'] },
    hint: 'It is an amount of memory, such as 8GB or 512MB.',
    ...{ page: 'cli', for: '`runner`', about: 'memory that it offers (`8GB`), else measured' },
  },
  ERRAND_SLOTS: {
    ...{ type: 'whole', from: 1, to: 100_000, hint: 'It is a number of steps at once, from 1.' },
    ...{ page: 'cli', for: '`runner`, `up`', about: 'steps at once, as `--slots`' },
  },
  ERRAND_HOSTNAME: {
    ...{ type: 'name', old: ['ADOS_HOSTNAME'], page: 'cli', for: '`runner`', about: 'name shown' },
  },
  ERRAND_TENANT_ID: {
    ...{ type: 'name', old: ['ADOS_TENANT_ID'], page: 'cli', for: '`runner`' },
    about: 'tenant that it expects its token to be of',
  },
  // The hub passes its own token to its own runner, which masks it.
  ERRAND_LOCAL_TOKEN: { type: 'text', token: true, about: "the token of the hub's own machine" },

  ...botSettings,
  ERRAND_PUBLIC_URL: {
    ...{ type: 'text', page: 'cli', for: '`up`' },
    about:
      "address at which people open the hub, for links ([notifications.md](notifications.md)); default: the hub's own",
  },
  ERRAND_SMTP_URL: {
    ...{ type: 'text', token: true, page: 'cli', for: '`up`' },
    about: 'mail server, `smtps://USER:PASSWORD@mail.example.org`; without it the hub sends no mail',
  },
  ERRAND_SMTP_FROM: {
    ...{ type: 'text', page: 'cli', for: '`up`' },
    about: 'sender of its mail, `errand@` and the name of the machine',
  },
  ERRAND_NOTIFY_ALLOW: {
    ...{ type: 'text', default: '', page: 'cli', for: '`up`' },
    about:
      'servers that webhooks and ntfy may be at beside https:// ones of the public internet, such as `http://ntfy.lan:8080`',
  },

  // Read from a step's environment, or otherwise from its machine's. The built-in agent checks them with its own
  // schema.
  ERRAND_MODEL: { type: 'text', default: 'gpt-4.1', page: 'agents', about: 'where no `model` is given' },
  ERRAND_MODEL_TIMEOUT_SECONDS: {
    ...{ type: 'text', default: '120', page: 'agents' },
    about: 'how long the service may say nothing, 300 at most',
  },
  ERRAND_MODEL_RETRIES: {
    ...{ type: 'text', default: '3', page: 'agents', about: 'tries of a request after the first' },
  },
  ERRAND_MODEL_MAX_TOKENS: { type: 'text', page: 'agents', about: 'most tokens of one answer' },
  ERRAND_MODEL_CONTEXT_CHARS: {
    ...{ type: 'text', default: '400000', page: 'agents' },
    about: 'characters of the conversation; past it old outputs of tools are shortened',
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

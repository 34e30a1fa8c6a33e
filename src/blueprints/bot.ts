import {
  type BotData,
  BotLimits,
  BotRestart,
  type BotServeArgs,
  type BotSource,
} from '../contract/bots/bot.ts'
import { ErrandError } from '../contract/errors.ts'
import { isCredentialName, VAR_NAME_RULE, VarName } from '../contract/names.ts'
import { secretFault } from '../contract/step-secrets.ts'
import { DEFAULT_HOST, type Workflow, type WorkflowFile } from '../contract/workflow.ts'
import { type BotRequest, botSource, boundTo, SOURCE_PASSWORD } from './bot-source.ts'
import { plain, unplain } from './workflow.ts'

/** Name of the only step. */
export const BOT_STEP = 'bot'

export interface BotRunOptions {
  /** Longest life of a bot in seconds; Infinity: without end. */
  maxSeconds: number
  /** Life of a bot whose request names none; default: the longest. */
  defaultSeconds?: number
  /** Runs of one slot come one after another. */
  slot: string
  /** Replaces the source in the request. */
  kept?: StoredSource
  data?: BotData
}
export interface StoredSource {
  source: BotSource
  /** Password of its registry or Git server, if it has one that the run stores. */
  password?: string
  /** Name of the hub's secret that is the password instead. */
  storedPassword?: string
}

/** Makes a run of a bot: a workflow of one step, and the values of its secrets, which the workflow does not contain. */
export function botRun(request: BotRequest, options: BotRunOptions) {
  const { slot, kept, data } = options
  const { bot_id, runner, group, labels } = request
  const seconds = lifeSeconds(request, options)
  const { env, env_vars } = sortedVariables(request)
  const secrets = secretTexts(env_vars, env)
  const { password, storedPassword } = kept ?? passwordOf(request)
  if (password !== undefined) secrets[SOURCE_PASSWORD] = password
  const names = Object.fromEntries(Object.keys(secrets).map((name) => [name, name]))
  if (storedPassword !== undefined) names[SOURCE_PASSWORD] = storedPassword
  const limits = request.limits ?? BotLimits.parse({})
  const { command, runtime, stop_grace_seconds, health, refresh } = request
  const source = kept?.source ?? botSource(request)
  if (refresh) checkRefresh(bot_id, source)
  const host = { runner: runner ?? data?.runner ?? boundTo(kept?.source), group, labels }
  const chosen = Object.values(host).some((value) => value !== undefined)
  const workflow: WorkflowFile = {
    version: 'v0.1',
    name: bot_id,
    inventory: chosen ? { hosts: { [DEFAULT_HOST]: host } } : undefined,
    concurrency: { group: `bot ${slot}`, limit: 1 },
    steps: [
      {
        name: BOT_STEP,
        action: 'bot.serve',
        args: {
          bot_id,
          source,
          command,
          limits,
          data,
          restart: request.restart ?? BotRestart.parse({}),
          health,
          runtime: plain(runtime),
          stop_grace_seconds,
          refresh: refresh || undefined,
        },
        env: plain(plainVariables(env)) as Record<string, string>,
        secrets: names,
        resources: { cpus: limits.cpus, memory: limits.memory },
        timeout_seconds: Number.isFinite(seconds) ? seconds : undefined,
      },
    ],
  }
  // As it would arrive over a wire: without undefined values.
  return {
    blueprint: 'bot',
    workflow: JSON.parse(JSON.stringify(workflow)) as Record<string, unknown>,
    secrets,
  }
}

/** Returns the settings with which a run of a bot was made. */
export function botOf(workflow: unknown) {
  const { steps, inventory, concurrency } = workflow as Workflow
  const { env = {}, secrets = {}, timeout_seconds } = steps[0]!
  const args = steps[0]!.args as BotServeArgs
  const own = Object.entries(secrets).filter(([name, at]) => name === at)
  const { runner, ...host } = inventory?.hosts[DEFAULT_HOST] ?? {}
  return {
    args,
    env: unplain(env) as Record<string, string>,
    /** Names of the run's own secrets. */
    secrets: own.map(([name]) => name),
    storedPassword: own.some(([name]) => name === SOURCE_PASSWORD)
      ? undefined
      : (secrets as Record<string, string>)[SOURCE_PASSWORD],
    /** Infinity: its life has no end. */
    timeoutSeconds: timeout_seconds ?? Number.POSITIVE_INFINITY,
    /** The host as its owner has requested it. */
    host:
      runner === (args.data?.runner ?? boundTo(args.source))
        ? { ...host, runner: undefined }
        : { ...host, runner },
    slot: concurrency?.group.replace(/^bot /, '') ?? '',
  }
}

/** Throws for a source that is not built, since only that can be rebuilt. */
function checkRefresh(botId: string, source: BotSource): void {
  const fault =
    source.mode === 'image'
      ? [
          'uses an existing image',
          'An existing image is pulled again automatically. If the pull needs a password, give the password again.',
        ]
      : source.mode === 'git' && source.built !== undefined
        ? ['was fetched with a token that is not stored', 'Give its "git_url" and "git_auth" again as well.']
        : undefined
  if (fault === undefined) return
  throw new ErrandError('invalid_argument', `"refresh" cannot rebuild "${botId}": it ${fault[0]}.`, {
    hint: fault[1],
  })
}

const passwordOf = ({
  registry_auth,
  git_auth,
}: BotRequest): Pick<StoredSource, 'password' | 'storedPassword'> => ({
  password: registry_auth?.password ?? git_auth?.password,
  storedPassword: git_auth?.secret,
})

/** Returns the workflow for a later start of a bot, with its data in their present place. */
export function withData(workflow: Workflow, data: BotData): Workflow {
  const { host, args } = botOf(workflow)
  const runner = host.runner ?? data.runner ?? boundTo(args.source)
  return {
    ...workflow,
    inventory: { ...workflow.inventory, hosts: { [DEFAULT_HOST]: { ...host, runner } } },
    steps: workflow.steps.map((step) => ({ ...step, args: { ...step.args, data } })),
  }
}

/** Returns the life in seconds; Infinity: without end. */
function lifeSeconds(
  { timeout_seconds }: Pick<BotRequest, 'timeout_seconds'>,
  { maxSeconds, defaultSeconds = maxSeconds }: BotRunOptions,
): number {
  const isEndless = timeout_seconds === null || timeout_seconds === 'unlimited'
  const seconds = isEndless ? Number.POSITIVE_INFINITY : (timeout_seconds ?? defaultSeconds)
  if (seconds <= maxSeconds) return seconds
  throw new ErrandError(
    'invalid_argument',
    `timeout_seconds is ${timeout_seconds}; the maximum here is ${maxSeconds} seconds (${hours(maxSeconds)}).`,
    { hint: 'Give less, or ask the operator to set ERRAND_BOT_HOURS.' },
  )
}

const hours = (seconds: number): string => `${Math.round(seconds / 36) / 100} hours`

/** Sorts variables: one that looks like a credential becomes a secret, wherever it was given. */
function sortedVariables({ env = {}, env_vars = {} }: Pick<BotRequest, 'env' | 'env_vars'>) {
  const isSecret = ([name, value]: [string, string | number | boolean]) =>
    typeof value !== 'boolean' && value !== '' && isCredentialName(name) && !Object.hasOwn(env_vars, name)
  const entries = Object.entries(env)
  return {
    env: Object.fromEntries(entries.filter((entry) => !isSecret(entry))),
    env_vars: { ...env_vars, ...Object.fromEntries(entries.filter(isSecret)) },
  }
}

function plainVariables(env: Readonly<Record<string, string | number | boolean>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(env).map(([name, value]) => {
      checkName('env', name)
      return [name, String(value)]
    }),
  )
}

function secretTexts(
  variables: Readonly<Record<string, string | number | boolean>>,
  env: Readonly<Record<string, unknown>>,
): Record<string, string> {
  const texts: Record<string, string> = {}
  for (const [name, value] of Object.entries(variables)) {
    checkName('env_vars', name)
    if (Object.hasOwn(env, name))
      throw new ErrandError('invalid_argument', `env and env_vars both contain "${name}".`, {
        hint: 'Put it into env_vars if its value is secret, otherwise into env.',
      })
    const fault = secretFault(String(value))
    if (fault !== undefined)
      throw new ErrandError('invalid_argument', `The value of "${name}" in env_vars ${fault}.`, {
        hint:
          fault === 'must not be empty'
            ? 'Put empty variables into env.'
            : 'Encode it, for example in base64.',
      })
    texts[name] = String(value)
  }
  return texts
}

function checkName(field: string, name: string): void {
  const fault = !VarName.safeParse(name).success
    ? VAR_NAME_RULE
    : name.startsWith('ERRAND_') || name === SOURCE_PASSWORD
      ? 'Errand reserves this name'
      : undefined
  if (fault === undefined) return
  // The mistake may be that the name is really the value.
  const shown =
    field === 'env_vars' && !VarName.safeParse(name).success ? 'A name in env_vars' : `"${name}" in ${field}`
  throw new ErrandError('invalid_argument', `${shown} is not a valid variable name: ${fault}.`, {
    hint: 'Write it as {"BOT_TOKEN": "..."}.',
  })
}

import { botOf, type StoredSource } from '../../blueprints/bot.ts'
import { type BotRequest, SOURCE_PASSWORD, withPulledImage } from '../../blueprints/bot-source.ts'
import { BotLimits, BotRestart, type BotServeArgs, type BotSource } from '../../contract/bots/bot.ts'
import { type BotChange, sourceFields } from '../../contract/bots/bot-api.ts'
import { ErrandError } from '../../contract/errors.ts'
import type { RunRecord } from '../../contract/run.ts'
import type { Workflow } from '../../contract/workflow.ts'
import type { EngineFace } from '../../engine/api.ts'
import { shellWord } from '../../platform/text.ts'
import type { Secrets } from '../secrets.ts'
import { pulledBy } from './bot-secret-cleanup.ts'

/** Describes a run to start again, with the secrets that it has. */
export interface RestartSpec {
  run: RunRecord & { workflow: Workflow }
  secrets: Record<string, string>
}

/**
 * Returns the spec to restart a run. A stored password serves only one pull or fetch; later starts use the image that
 * is there.
 */
export async function restartSpec(
  record: RunRecord,
  { engine, secrets }: { engine: Pick<EngineFace, 'view'>; secrets: Secrets },
): Promise<RestartSpec> {
  const run = { ...record, workflow: withoutRefresh(record.workflow as Workflow) }
  // Read before the run is looked at, because the password is deleted once the run reports that its image is there.
  const values = await secrets.ofRun(run)
  if (!botOf(run.workflow).secrets.includes(SOURCE_PASSWORD)) return { run, secrets: values }
  const by = pulledBy(await engine.view(run.run_id))
  if (by === undefined) return { run, secrets: values }
  const { [SOURCE_PASSWORD]: _, ...variables } = values
  return { run: { ...run, workflow: withPulledImage(run.workflow, by) }, secrets: variables }
}

/** Returns the workflow without `refresh`, which applied only to that one start. */
function withoutRefresh(workflow: Workflow): Workflow {
  const { refresh: _, ...args } = workflow.steps[0]!.args as BotServeArgs
  return { ...workflow, steps: [{ ...workflow.steps[0]!, args }] }
}

/**
 * Returns the request that would have started the changed bot. What was not given stays; `env` and `env_vars` are
 * merged variable by variable. `kept` is its source if none was given.
 */
export function changedRequest(
  run: RunRecord,
  change: BotChange,
  secrets: Readonly<Record<string, string>>,
  maxSeconds: number,
): { request: BotRequest; kept?: StoredSource } {
  const { args, env, timeoutSeconds, host, storedPassword } = botOf(run.workflow)
  const { source, command, limits, restart, health, runtime, stop_grace_seconds } = args
  const seconds = Math.min(timeoutSeconds, maxSeconds)
  const { [SOURCE_PASSWORD]: password, ...variables } = secrets
  const fields = sourceFields.filter((field) => change[field as keyof BotChange] !== undefined)
  const ownSource = fields.length > 0 && !isSameImage(source, change, fields)
  const request: BotRequest = {
    bot_id: run.workflow_name,
    ...host,
    runtime,
    stop_grace_seconds,
    timeout_seconds: Number.isFinite(seconds) ? seconds : null,
    health,
    // The command belongs to the source that it was given with.
    ...(ownSource ? stayingSource(source, change) : { command }),
    ...defined(without(change, { data: true })),
    limits: BotLimits.parse({ ...limits, ...defined(change.limits ?? {}) }),
    restart: BotRestart.parse({ ...restart, ...defined(change.restart ?? {}) }),
    // A plain variable may become a secret, and the other way round.
    env: { ...without(env, change.env_vars), ...change.env },
    env_vars: { ...without(variables, change.env), ...change.env_vars },
  }
  return ownSource ? { request } : { request, kept: { source, password, storedPassword } }
}

/** Returns the parts of the source that stay when new code is given: its dependencies, if the language is the same. */
function stayingSource(source: BotSource, change: BotChange): Partial<BotRequest> {
  const isCode = change.code !== undefined || change.files !== undefined
  if (source.mode === 'simple' && isCode) {
    const { requirements, language, base_image } = source
    const entrypoint = change.entrypoint ?? source.entrypoint
    const isSame =
      endingOf(entrypoint) === endingOf(source.entrypoint) && (change.language ?? language) === language
    return isSame ? defined({ requirements, language, base_image }) : {}
  }
  const isFetched = change.git_url !== undefined || change.upload !== undefined
  if ((source.mode === 'git' || source.mode === 'archive') && isFetched)
    return { dockerfile: source.dockerfile }
  return {}
}

const endingOf = (path: string): string | undefined => /\.[a-z]+$/.exec(path)?.[0]

/**
 * Reports whether the image is the same. An image that needs a password is not pulled without one, so then the
 * present one is meant.
 */
function isSameImage(source: BotSource, change: BotChange, fields: readonly string[]): boolean {
  if (source.mode !== 'image' || (source.registry_auth ?? source.pulled) === undefined) return false
  return (
    change.docker_image === source.image &&
    (change.deployment_mode ?? 'image') === 'image' &&
    fields.every((field) => field === 'docker_image' || field === 'deployment_mode')
  )
}

const defined = <T extends object>(value: T): T =>
  Object.fromEntries(Object.entries(value).filter(([, value]) => value !== undefined)) as T

const without = <T>(from: Readonly<Record<string, T>>, names: Readonly<Record<string, unknown>> = {}) =>
  Object.fromEntries(Object.entries(from).filter(([name]) => !Object.hasOwn(names, name)))

interface EndedBot {
  source: BotSource
  /** Names of its secrets. */
  names: readonly string[]
  /** Name of the stored secret that is the password of its source. */
  storedPassword?: string
}

/**
 * Returns the error that the bot has ended and that a new run would lack these secrets, with the command that starts
 * it again under the same id.
 */
export function startRequired(botId: string, { source, names, storedPassword }: EndedBot): ErrandError {
  const variables = names.filter((name) => name !== SOURCE_PASSWORD).map((name) => `-e ${name}`)
  const options = startOptions(source, storedPassword).map(shellWord)
  const command = ['errand bot start', botId, ...options, ...variables].join(' ')
  return new ErrandError('conflict', `The bot "${botId}" has ended, and its secrets were deleted with it.`, {
    hint: `Start it again under the same id, with its secrets: ${command}`,
  })
}

function startOptions(source: BotSource, storedPassword?: string): string[] {
  if (source.mode === 'simple') {
    const others = Object.keys(source.files).filter((path) => path !== source.entrypoint)
    return ['--simple', source.entrypoint, ...others]
  }
  if (source.mode === 'git') {
    const { url, ref } = source
    const auth = source.git_auth ?? source.built
    const token = storedPassword === undefined ? ['--git-token'] : ['--git-secret', storedPassword]
    const user = auth?.username === undefined ? [] : ['--username', auth.username]
    return ['--custom', url, ...(ref ? ['--ref', ref] : []), ...(auth ? [...user, ...token] : [])]
  }
  if (source.mode === 'archive') return ['--custom', 'FOLDER']
  const { image, registry_auth, pulled } = source
  const { username } = registry_auth ?? pulled ?? {}
  return ['--image', image, ...(username === undefined ? [] : ['--username', username])]
}

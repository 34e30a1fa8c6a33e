import { botOf, type KeptSource } from '../../blueprints/bot.ts'
import type { BotRequest } from '../../blueprints/bot-source.ts'
import { SOURCE_PASSWORD } from '../../blueprints/registry-password.ts'
import type { BotSource } from '../../contract/bot.ts'
import { BotLimits, BotRestart } from '../../contract/bot.ts'
import type { BotChange } from '../../contract/bot-api.ts'
import { sourceFields } from '../../contract/bot-api.ts'
import type { RunRecord } from '../../contract/run.ts'

/**
 * The request that a bot would have been started with as it is to be: what was not given stays, of `env` and
 * `env_vars` each variable by itself. `kept`: its source, where none was given.
 */
export function changedRequest(
  run: RunRecord,
  given: BotChange,
  secrets: Readonly<Record<string, string>>,
  maxSeconds: number,
): { request: BotRequest; kept?: KeptSource } {
  const { args, env, timeoutSeconds, host, storedPassword } = botOf(run.workflow)
  const { source, command, limits, restart, health, runtime, stop_grace_seconds } = args
  const seconds = Math.min(timeoutSeconds, maxSeconds)
  const { [SOURCE_PASSWORD]: password, ...variables } = secrets
  const fields = sourceFields.filter((field) => given[field as keyof BotChange] !== undefined)
  const ownSource = fields.length > 0 && !isSameImage(source, given, fields)
  const request: BotRequest = {
    bot_id: run.workflow_name,
    ...host,
    runtime,
    stop_grace_seconds,
    timeout_seconds: Number.isFinite(seconds) ? seconds : null,
    health,
    // The command belongs to the source that it was given with.
    ...(ownSource ? {} : { command }),
    ...defined(without(given, { data: true })),
    limits: BotLimits.parse({ ...limits, ...defined(given.limits ?? {}) }),
    restart: BotRestart.parse({ ...restart, ...defined(given.restart ?? {}) }),
    // A variable that was plain may become a secret, and the other way round.
    env: { ...without(env, given.env_vars), ...given.env },
    env_vars: { ...without(variables, given.env), ...given.env_vars },
  }
  return ownSource ? { request } : { request, kept: { source, password, storedPassword } }
}

/** Of an image that needs a password: without one it is not pulled, and what is there is meant. */
function isSameImage(source: BotSource, given: BotChange, fields: readonly string[]): boolean {
  if (source.mode !== 'image' || (source.registry_auth ?? source.pulled) === undefined) return false
  return (
    given.docker_image === source.image &&
    (given.deployment_mode ?? 'image') === 'image' &&
    fields.every((field) => field === 'docker_image' || field === 'deployment_mode')
  )
}

const defined = <T extends object>(given: T): T =>
  Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) as T

const without = <T>(from: Readonly<Record<string, T>>, names: Readonly<Record<string, unknown>> = {}) =>
  Object.fromEntries(Object.entries(from).filter(([name]) => !Object.hasOwn(names, name)))

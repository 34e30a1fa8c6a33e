import { parseBytes } from '../../contract/amounts.ts'
import type { Requirements } from '../../contract/attempt.ts'
import { type BotLimits, DEFAULT_WORK } from '../../contract/bots/bot.ts'
import { ErrandError } from '../../contract/errors.ts'
import { isNamed, suits } from './matching.ts'
import { sizeText } from './placement.ts'
import type { Runner } from './roster.ts'

/** Describes a bot to create: where it may go and which limits it asks for. */
export interface BotAsk {
  tenant: string
  host: Pick<Requirements, 'runner' | 'group' | 'labels'>
  limits: BotLimits
}

type Limit = keyof BotLimits
type Amounts = Readonly<Record<Limit, number>>
const limits: readonly Limit[] = ['memory', 'cpus', 'processes', 'disk', 'work', 'log']

/**
 * Throws `invalid_argument`, with both numbers, if no eligible runner can ever hold the bot. The bot is let through,
 * and waits, if no eligible runner is connected or if one that is away and may come back is large enough.
 */
export function checkBotRoom(
  runners: Iterable<Runner>,
  { tenant, host, limits: requestedLimits }: BotAsk,
): void {
  const able = [...runners].filter((each) => each.tenant === tenant && isNamed(each, host))
  const present = able.filter((each) => each.link && suits(each, { ...host, containers: true }))
  if (present.length === 0) return
  // After a restart, the hub does not know which container engine a disconnected runner has.
  const away = able.filter((each) => !each.link && each.awaited && suits(each, host))
  const amounts = amountsOf(requestedLimits)
  const holds = (runner: Runner, which = limits) =>
    which.every((limit) => mostOf(runner)[limit] >= amounts[limit])
  if ([...present, ...away].some((runner) => holds(runner))) return

  const limit = limits.find((each) => !present.some((runner) => holds(runner, [each])))
  if (limit === undefined)
    throw new ErrandError(
      'invalid_argument',
      `No connected runner allows a bot with ${requestedLimits.cpus} cpus, ${textOf('memory', amounts.memory)} of memory and ${requestedLimits.processes} processes together, although each of these alone is possible.`,
      { hint: 'Lower one of them. To see what the runners have: errand runners list' },
    )
  const largest = present.reduce((a, b) => (mostOf(b)[limit] > mostOf(a)[limit] ? b : a))
  const most = mostOf(largest)[limit]
  const isSet = capOf(largest)[limit] === most
  throw new ErrandError(
    'invalid_argument',
    `limits.${limit} is ${requestedLimits[limit] ?? DEFAULT_WORK}; a bot may have at most ${textOf(limit, most)} here (on runner "${largest.id}").`,
    {
      hint: isSet
        ? `Lower it, or ask the operator of the runner to raise ERRAND_BOT_MAX_${limit.toUpperCase()}.`
        : 'Lower it, or connect a larger runner.',
      details: { limit, most },
    },
  )
}

const amountsOf = ({ memory, cpus, processes, disk, work = DEFAULT_WORK, log }: BotLimits): Amounts => ({
  memory: parseBytes(String(memory))!,
  cpus,
  processes,
  disk: parseBytes(String(disk))!,
  work: parseBytes(String(work))!,
  log: parseBytes(String(log))!,
})

/** Returns the limits that the operator of the runner has set for bots; infinite where none is set. */
function capOf({ hello }: Runner): Amounts {
  const { memory_bytes, cpus, processes, disk_bytes, work_bytes, log_bytes } = hello?.bots?.most ?? {}
  const [memory, disk, work, log] = [memory_bytes, disk_bytes, work_bytes, log_bytes]
  const none = Number.POSITIVE_INFINITY
  return {
    memory: memory ?? none,
    cpus: cpus ?? none,
    processes: processes ?? none,
    disk: disk ?? none,
    work: work ?? none,
    log: log ?? none,
  }
}

function mostOf(runner: Runner): Amounts {
  const cap = capOf(runner)
  return {
    ...cap,
    memory: Math.min(cap.memory, runner.memoryBytes),
    cpus: Math.min(cap.cpus, runner.cpus),
  }
}

const textOf = (limit: Limit, amount: number): string =>
  limit === 'cpus' || limit === 'processes' ? String(amount) : sizeText(amount)

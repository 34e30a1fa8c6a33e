import type { Hello, Standing } from '../../contract/protocol.ts'
import type { Assignment } from './assignment.ts'

export interface Stock {
  standings: Standing[]
  /** The runner goes on with these. */
  going: Assignment[]
  /** Those that it never had. */
  unsent: Assignment[]
  /** Those that it had and has lost. */
  gone: Assignment[]
}

/** Compares what a runner says it has with what was given to it. */
export function takeStock(
  hello: Hello,
  given: readonly Assignment[],
  isDurable: (action: string) => boolean,
): Stock {
  const stock: Stock = { standings: [], going: [], unsent: [], gone: [] }
  const byId = new Map(given.map((assignment) => [assignment.spec.attempt_id, assignment]))
  const named = new Set<Assignment>()
  for (const { attempt_id, epoch, reports: has = Number.POSITIVE_INFINITY } of hello.attempts) {
    const assignment = byId.get(attempt_id)
    if (assignment?.epoch === epoch) {
      const { reports, stdout, stderr } = assignment.inbox.committed
      if (has < reports) {
        // Its next would come under the number of one that is known, and never count.
        const why = 'the runner has lost what it told of it'
        stock.standings.push({ state: 'superseded', attempt_id, epoch, why })
        stock.gone.push(assignment)
        named.add(assignment)
        continue
      }
      stock.standings.push({ state: 'continue', attempt_id, epoch, reports, streams: { stdout, stderr } })
      stock.going.push(assignment)
      named.add(assignment)
    } else {
      const why = assignment ? `it has epoch ${assignment.epoch} now` : 'it ended here, or was handed on'
      stock.standings.push({ state: 'superseded', attempt_id, epoch, why })
    }
  }
  for (const assignment of given)
    if (!named.has(assignment)) stock[whenMissing(assignment, hello, isDurable)].push(assignment)
  return stock
}

/** Whether an attempt that a runner does not have was never begun, or is gone. */
export function whenMissing(
  { begun, sent, spec }: Assignment,
  { boot_id, storage_id }: Pick<Hello, 'boot_id' | 'storage_id'>,
  isDurable: (action: string) => boolean,
): 'unsent' | 'gone' {
  if (begun) return 'gone'
  if (sent.type === 'never' || (sent.type === 'to' && sent.boot === boot_id)) return 'unsent'
  // What survives a restart of the runner has a folder from before it begins: no folder, not begun. That holds as long as
  // no folder can have vanished, as it does where the machine loses its power before it is on the disk.
  const isWhole = storage_id !== undefined && sent.storage === storage_id
  return isWhole && isDurable(spec.action) ? 'unsent' : 'gone'
}

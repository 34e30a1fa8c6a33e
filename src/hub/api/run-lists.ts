import { hash } from 'node:crypto'
import type * as z from 'zod'
import { ErrandError } from '../../contract/errors.ts'
import { newRunId } from '../../contract/ids.ts'
import type { ListRuns, RunRecord } from '../../contract/run.ts'
import { type BulkDone, type BulkRuns, type CountRuns, MOST_IN_BULK } from '../../contract/runs/run-lists.ts'
import { isFinalRun, RunStatus } from '../../contract/status.ts'
import type { RunQuery } from '../../engine/ports.ts'
import { BoundedMap } from '../../platform/bounded-map.ts'
import type { Identity } from '../auth/auth.ts'
import { deleteRun } from '../ops/retention.ts'
import type { ApiContext } from './api-context.ts'
import { isAdmin, visibleRun } from './http/access.ts'
import type { Handlers } from './http/routes.ts'

type Filter = z.output<typeof CountRuns>
type Bulk = z.output<typeof BulkRuns>
type Answer = z.input<typeof BulkDone>

/** Number of answers that are stored for repeats with the same key. */
const CACHED_ANSWERS = 256

/** Identifies a request with a key; `since` is when it first arrived. */
interface KeyedRequest {
  place: string
  since: string
  isAgain: boolean
}

/** Returns the id of the retry of a run that such a request makes; it is the same each time. */
function newIdAt({ place, since }: KeyedRequest, runId: string): string {
  const text = hash('sha256', `${place}\n${since}\n${runId}`)
  return newRunId(Date.parse(since)).slice(0, -11) + text.slice(0, 20)
}

/** Statuses that an action applies to if the filter names none. */
const statusesOf: Readonly<Record<Bulk['action'], readonly RunStatus[]>> = {
  cancel: RunStatus.options.filter((status) => !isFinalRun(status)),
  retry: ['failed', 'canceled', 'interrupted'],
  delete: RunStatus.options.filter(isFinalRun),
}

/** Returns the store query for a filter, or undefined if the user may see none of it. */
export function runQuery(
  { user, ...identity }: Identity,
  query: Filter | Omit<ListRuns, 'limit' | 'cursor'>,
): Omit<RunQuery, 'limit'> | undefined {
  const { status, owner, created_after, created_before, input, label, needs, shared, ...rest } = query
  const admin = isAdmin({ user, ...identity })
  if (!admin && !shared && owner !== undefined && owner !== user.name) return undefined
  return {
    ...rest,
    statuses: status === undefined ? undefined : statusesIn(status, RunStatus),
    inputs: input === undefined ? undefined : inputs([input].flat()),
    labels: label === undefined ? undefined : labels([label].flat()),
    needs_answer: needs === 'me' ? true : undefined,
    created_after: moment('created_after', created_after),
    created_before: moment('created_before', created_before),
    owner: admin || shared ? owner : user.name,
    shared_with: shared ? { name: user.name, role: user.role } : undefined,
    tenant: user.tenant,
  }
}

export function runListHandlers(context: ApiContext) {
  const { engine, accounts } = context
  const answered = new BoundedMap<string, Promise<Answer>>(CACHED_ANSWERS)

  const change = async (identity: Identity, run: RunRecord, { action, only }: Bulk, place?: KeyedRequest) => {
    if (action === 'delete') return void (await deleteRun(engine, accounts, run))
    const { name } = identity.user
    if (action === 'cancel') return void (await engine.cancel(run.run_id, { by: name }))
    const run_id = place && newIdAt(place, run.run_id)
    const there = run_id && place.isAgain && (await engine.get(run_id))
    return (there || (await engine.retry(run.run_id, { only, owner: name, run_id }))).run_id
  }

  const applyTo = async (identity: Identity, ids: readonly string[], body: Bulk, place?: KeyedRequest) => {
    const results: Answer['results'] = []
    for (const run_id of ids)
      try {
        const run = await visibleRun(engine, identity, run_id)
        const isDone = place?.isAgain && body.action === 'cancel' && run.status === 'canceled'
        const new_run_id = isDone ? undefined : await change(identity, run, body, place)
        results.push({ run_id, result: 'done', new_run_id })
      } catch (error) {
        if (!(error instanceof ErrandError)) throw error
        if (place?.isAgain && body.action === 'delete' && error.code === 'run_not_found')
          results.push({ run_id, result: 'done' })
        // A problem of the hub itself is no refusal of this run: the client repeats the request for the rest.
        else if (place !== undefined && error.status >= 500) throw error
        else results.push({ run_id, result: 'refused', error: error.toBody().error })
      }
    const done = results.filter(({ result }) => result === 'done').length
    return { action: body.action, done, refused: results.length - done, results }
  }

  const chosen = async (identity: Identity, body: Bulk): Promise<string[]> => {
    if (body.ids !== undefined) return [...new Set(body.ids)]
    const runs = await matching(context, identity, body)
    if (body.expect !== undefined) checkExpected(runs, body.expect)
    return runs.map(({ run_id }) => run_id)
  }

  /**
   * Does the action once per key, even if the hub is killed in between. The key stores which runs are meant, and the
   * id of a retry is derived from it.
   */
  const once = async (identity: Identity, key: string, body: Bulk): Promise<Answer> => {
    const { id } = identity.user
    const place = `${id}\n${key}`
    const request_hash = hash('sha256', JSON.stringify(body))
    const created_at = new Date().toISOString()
    const claim = { key: `bulk ${key}`, owner: id, request_hash, run_id: '', created_at }
    const earlier = await accounts.claimKey(claim)
    if (earlier !== undefined && earlier.request_hash !== request_hash)
      throw new ErrandError(
        'idempotency_mismatch',
        `The Idempotency-Key "${key}" was already used for another request.`,
        {
          hint: 'Use a new key for a new request. A repeated request must have the same body.',
        },
      )
    const before = answered.get(place)
    if (before !== undefined) return await before
    const work = async () => {
      if (earlier !== undefined && earlier.run_id !== '') {
        const ids = JSON.parse(earlier.run_id) as string[]
        return await applyTo(identity, ids, body, { place, since: earlier.created_at, isAgain: true })
      }
      const ids = await chosen(identity, body)
      // Nothing starts before the chosen runs are stored.
      await accounts.releaseKey(id, claim.key)
      await accounts.claimKey({ ...claim, run_id: JSON.stringify(ids) })
      return await applyTo(identity, ids, body, { place, since: created_at, isAgain: false })
    }
    const mine = work()
    answered.set(place, mine)
    try {
      return await mine
    } catch (error) {
      answered.delete(place)
      if (error instanceof ErrandError && error.status < 500) await accounts.releaseKey(id, claim.key)
      throw error
    }
  }

  return {
    'GET /api/run-counts': async ({ identity, query }) => {
      const filter = runQuery(identity, query)
      if (filter === undefined) return { total: 0, by_status: {}, more: [] }
      const { by_status, more } = await engine.counts(filter)
      return { total: Object.values(by_status).reduce((sum, count) => sum + count, 0), by_status, more }
    },

    'POST /api/runs/bulk': async ({ identity, body, headers }) => {
      if ((body.ids === undefined) === (body.filter === undefined))
        throw new ErrandError('bad_request', 'body: exactly one of "ids" and "filter" is needed.', {
          hint: 'For example: {"action": "cancel", "ids": ["run_0123"]}',
        })
      const key = headers['idempotency-key']
      if (key !== undefined) return await once(identity, key, body)
      return await applyTo(identity, await chosen(identity, body), body)
    },
  } satisfies Partial<Handlers>
}

/**
 * Returns the runs that match the filter and that the action applies to. Throws `bad_request` if there are too many.
 */
async function matching({ engine }: ApiContext, identity: Identity, body: Bulk): Promise<RunRecord[]> {
  const filter = runQuery(identity, body.filter!)
  if (filter === undefined) return []
  const fitting = filter.statuses?.filter((status) =>
    body.action === 'retry' ? isFinalRun(status) : statusesOf[body.action].includes(status),
  )
  const query = { ...filter, statuses: fitting ?? statusesOf[body.action] }
  if (query.statuses.length === 0) return []
  const found: RunRecord[] = []
  for (let cursor: string | undefined; ; ) {
    const page = await engine.list({ ...query, limit: 500, cursor })
    found.push(...page.runs)
    cursor = page.next_cursor
    if (found.length > MOST_IN_BULK || (found.length === MOST_IN_BULK && cursor !== undefined))
      throw new ErrandError('bad_request', `More than ${MOST_IN_BULK} runs match.`, {
        hint: 'Narrow the filter, for example by time.',
        details: { limit: MOST_IN_BULK },
      })
    if (cursor === undefined) return found
  }
}

/** Throws `conflict` if there are more runs than were agreed to. */
function checkExpected(runs: readonly RunRecord[], expect: NonNullable<Bulk['expect']>): void {
  const agreed = Object.values(expect).reduce((sum, count) => sum + count, 0)
  if (runs.length <= agreed) return
  const by_status: Partial<Record<RunStatus, number>> = {}
  for (const { status } of runs) by_status[status] = (by_status[status] ?? 0) + 1
  throw new ErrandError('conflict', `${runs.length} runs match now, but only ${agreed} were confirmed.`, {
    hint: 'Nothing was changed. Check the counts again.',
    details: { by_status },
  })
}

function inputs(pairs: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    pairs.map((pair) => {
      const at = pair.indexOf('=')
      if (at > 0) return [pair.slice(0, at), pair.slice(at + 1)]
      throw new ErrandError('bad_request', 'query.input: must have the form NAME=value.', {
        hint: 'For example: ?input=region=eu. You may repeat it.',
      })
    }),
  )
}

const labels = (pairs: readonly string[]): Record<string, string | undefined> =>
  Object.fromEntries(
    pairs.map((pair) => {
      const at = pair.indexOf('=')
      return at < 0 ? [pair, undefined] : [pair.slice(0, at), pair.slice(at + 1)]
    }),
  )

/** Parses the statuses of a query. Throws `bad_request`. */
export function statusesIn<T extends string>(
  text: string,
  known: { options: readonly T[]; safeParse(text: string): { data?: T } },
): T[] {
  return text.split(',').map((each) => {
    const { data } = known.safeParse(each.trim())
    if (data !== undefined) return data
    throw new ErrandError('bad_request', `query.status: "${each}" is not a valid status.`, {
      hint: `Use one or more of ${known.options.join(', ')}.`,
    })
  })
}

function moment(field: string, text: string | undefined): string | undefined {
  if (text === undefined) return undefined
  const ms = Date.parse(text)
  if (!Number.isNaN(ms)) return new Date(ms).toISOString()
  throw new ErrandError('bad_request', `query.${field}: "${text}" is not a valid time.`, {
    hint: 'Write it as 2026-01-31T10:00:00Z.',
  })
}

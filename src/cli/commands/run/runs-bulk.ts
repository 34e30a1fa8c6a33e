import { createInterface } from 'node:readline/promises'
import type { ErrandClient } from '../../../client/client.ts'
import type { BulkRunsInput } from '../../../contract/runs/run-lists.ts'
import { RunStatus } from '../../../contract/status.ts'
import { UsageError } from '../../command.ts'
import { exitCodes } from '../../exit-codes.ts'
import { printJson } from '../../print.ts'
import { lineText } from '../../render/terminal-text.ts'
import { apiFilter, viewWords } from './view-words.ts'

export const bulkOptions = {
  filter: {
    type: 'string',
    value: 'WORDS',
    help: 'All runs that match, such as "status:running workflow:nightly since:7d input.region:eu"',
  },
  yes: { type: 'boolean', short: 'y', help: 'With --filter: do not ask' },
} as const

const verbs = { cancel: 'Cancel', retry: 'Retry', delete: 'Delete' } as const
const open: readonly string[] = ['queued', 'running']
const failed: readonly string[] = ['failed', 'canceled', 'interrupted']

/** Shows how many runs match, asks, and changes them. Resolves to the exit code `failed` if a run refused. */
export async function changeRuns(
  client: ErrandClient,
  body: { action: BulkRunsInput['action']; words: string; only?: 'all' | 'failed' },
  { yes = false, json = false }: { yes?: boolean; json?: boolean },
): Promise<number> {
  const { action, words, only } = body
  const filter = apiFilter(viewWords(words))
  const { by_status, more } = await client.runs.counts(filter)
  if (more.length > 0) throw new UsageError('--filter matches more than 10,000 runs', 'narrow the filter')
  const applies = (status: string): boolean => {
    if (action === 'cancel') return open.includes(status)
    if (action === 'delete' || filter.status !== undefined) return !open.includes(status)
    return failed.includes(status)
  }
  const expect = Object.fromEntries(
    RunStatus.options.flatMap((status) =>
      applies(status) && by_status[status] !== undefined ? [[status, by_status[status]]] : [],
    ),
  )
  const count = Object.values(expect).reduce((sum, each) => sum + each, 0)
  if (count === 0 && !json) {
    process.stdout.write(`There are no matching runs to ${action}.\n`)
    return exitCodes.success
  }
  if (count > 0 && !yes) {
    const counts = Object.entries(expect).map(([status, each]) => `${each} ${status}`)
    const question = `${verbs[action]} ${count} ${count === 1 ? 'run' : 'runs'} (${counts.join(', ')})? [y/N] `
    if (!(await agreed(question))) return exitCodes.usage
  }
  const answer = await client.runs.bulk({ action, filter, expect, ...(only && { only }) })
  if (json) printJson(answer)
  else
    for (const { run_id, result, new_run_id, error } of answer.results) {
      const done = { cancel: 'is being canceled', retry: `is retried as ${new_run_id}`, delete: 'is deleted' }
      process.stdout.write(
        `${run_id} ${result === 'done' ? done[action] : lineText(error?.message ?? result)}\n`,
      )
    }
  return answer.refused > 0 ? exitCodes.failed : exitCodes.success
}

async function agreed(question: string): Promise<boolean> {
  if (!process.stdin.isTTY)
    throw new UsageError('--filter changes many runs', 'add --yes if nobody can be asked')
  const terminal = createInterface({ input: process.stdin, output: process.stderr })
  const answer = await terminal.question(question)
  terminal.close()
  return /^y(es)?$/i.test(answer.trim())
}

/** Returns the filter if there is no id. Throws `UsageError` unless exactly one of the two is given. */
export function onlyOne(id: string | undefined, filter: string | undefined): string | undefined {
  if ((id === undefined) === (filter === undefined))
    throw new UsageError('either a run or --filter is needed', 'for example: errand runs cancel run_0123')
  return filter
}

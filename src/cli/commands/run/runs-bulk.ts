import { createInterface } from 'node:readline/promises'
import type { ErrandClient } from '../../../client/client.ts'
import type { BulkRunsInput } from '../../../contract/runs/run-lists.ts'
import { RunStatus } from '../../../contract/status.ts'
import { UsageError } from '../../command.ts'
import { exitCodes } from '../../exit-codes.ts'
import { momentOf } from '../../option-values.ts'
import { printJson } from '../../print.ts'
import { lineText } from '../../render/terminal-text.ts'

type Filter = NonNullable<BulkRunsInput['filter']>

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

/** A filter out of words; what is no `name:value` is looked for in ids and names. */
export function filterOfWords(text: string): Filter {
  const filter: Filter = {}
  const input: string[] = []
  const rest: string[] = []
  for (const word of text.split(/\s+/).filter((one) => one !== '')) {
    const [, name, value = ''] = /^(\w+(?:\.\w+)?):(.+)$/.exec(word) ?? []
    if (name === undefined) rest.push(word)
    else if (name === 'status') filter.status = value
    else if (name === 'kind') filter.blueprint = value
    else if (name === 'user') filter.owner = value
    else if (name === 'workflow') filter.workflow_name = value
    else if (name === 'needs') filter.needs = value as 'me'
    else if (name === 'since') filter.created_after = momentOf('since:', value)
    else if (name === 'until') filter.created_before = momentOf('until:', value)
    else if (name.startsWith('input.')) input.push(`${name.slice('input.'.length)}=${value}`)
    else
      throw new UsageError(
        `--filter has the word "${word}"`,
        'words are status, kind, user, workflow, since, until, needs and input.NAME, with a colon and a value',
      )
  }
  if (input.length > 0) filter.input = input
  if (rest.length > 0) filter.text = rest.join(' ')
  return filter
}

/** Tells how many runs match, asks, and has it done; a run that refuses makes the exit code one of a failure. */
export async function changeRuns(
  client: ErrandClient,
  body: { action: BulkRunsInput['action']; words: string; only?: 'all' | 'failed' },
  { yes = false, json = false }: { yes?: boolean; json?: boolean },
): Promise<number> {
  const { action, words, only } = body
  const filter = filterOfWords(words)
  const { by_status, more } = await client.runs.counts(filter)
  if (more.length > 0) throw new UsageError('--filter matches more than 10,000 runs', 'narrow it')
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
    process.stdout.write(`No run to ${action} is like that.\n`)
    return exitCodes.success
  }
  if (count > 0 && !yes) {
    const said = Object.entries(expect).map(([status, each]) => `${each} ${status}`)
    const question = `${verbs[action]} ${count} ${count === 1 ? 'run' : 'runs'} (${said.join(', ')})? [y/N] `
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
    throw new UsageError('--filter changes many runs', 'agree with --yes where nobody can be asked')
  const terminal = createInterface({ input: process.stdin, output: process.stderr })
  const answer = await terminal.question(question)
  terminal.close()
  return /^y(es)?$/i.test(answer.trim())
}

/** The words of the filter where there is no id. */
export function onlyOne(id: string | undefined, filter: string | undefined): string | undefined {
  if ((id === undefined) === (filter === undefined))
    throw new UsageError('either a run or --filter is needed', 'such as: errand runs cancel run_0123')
  return filter
}

import { runSorts } from '../../../contract/run.ts'
import type { RunStatus } from '../../../contract/status.ts'
import { command, UsageError } from '../../command.ts'
import { connect } from '../../connection.ts'
import { hubOptions, momentOf, oneOf } from '../../option-values.ts'
import { jsonOption, printJson, printTable } from '../../print.ts'
import { waitedText, whyOf, withoutEmpty, workedText } from '../../render/summary.ts'
import { lineText } from '../../render/terminal-text.ts'
import { apiFilter, viewNamed } from './view-words.ts'

function limitOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  const limit = Number(text)
  if (!Number.isInteger(limit) || limit < 1 || limit > 500)
    throw new UsageError(`--limit is "${text}"`, 'use a number from 1 to 500; --cursor lists more')
  return limit
}

export const runsList = command({
  summary: 'List runs: open runs first, then ended ones, newest first.',
  options: {
    status: { type: 'string', value: 'LIST', help: 'Only runs with this status, such as running,failed' },
    workflow: { type: 'string', value: 'NAME', help: 'Only runs of this workflow' },
    blueprint: {
      type: 'string',
      value: 'NAME',
      help: 'Only runs of this blueprint: workflow, agent, bot or task',
    },
    owner: { type: 'string', value: 'NAME', help: 'Only runs of this user' },
    since: {
      type: 'string',
      value: 'TIME',
      help: 'Only runs created since then, such as 2026-01-31 or 12h (ago)',
    },
    latest: { type: 'boolean', help: 'Only the latest attempt of runs that were retried' },
    until: { type: 'string', value: 'TIME', help: 'Only runs created before then' },
    input: {
      type: 'string',
      multiple: true,
      value: 'NAME=VALUE',
      help: 'Only runs with this value of an input',
    },
    label: {
      type: 'string',
      multiple: true,
      value: 'K[=V]',
      help: 'Only runs with this label',
    },
    sort: {
      type: 'string',
      value: 'ORDER',
      help: `Order: active (default: open runs, then ended ones), started, finished, duration or name; -name and so on reverse it`,
    },
    text: {
      type: 'string',
      value: 'TEXT',
      help: 'Only runs with this text in their id or workflow name',
    },
    'needs-me': { type: 'boolean', help: 'Only runs that wait for an answer' },
    view: { type: 'string', value: 'NAME', help: 'Runs of a saved view, narrowed by the other options' },
    counts: { type: 'boolean', help: 'Only the number of runs, by status' },
    limit: { type: 'string', value: 'N', help: 'Most runs to list (default: 50, at most 500)' },
    cursor: { type: 'string', value: 'CURSOR', help: 'Continue after an earlier list' },
    ...hubOptions,
    ...jsonOption,
  },
  examples: [
    'errand runs list',
    'errand runs list --status failed --since 7d --limit 10',
    'errand runs list --view broken --json',
  ],
  async run({
    status,
    workflow,
    blueprint,
    owner,
    since,
    until,
    latest,
    limit,
    cursor,
    sort,
    json,
    ...more
  }) {
    const { input, label, text, counts, view, 'needs-me': needsMe, ...hub } = more
    const order = oneOf('--sort', sort, runSorts)
    const client = connect(hub)
    const ownFilter = {
      status,
      workflow_name: workflow,
      blueprint,
      owner,
      created_after: momentOf('--since', since),
      created_before: momentOf('--until', until),
      latest: latest ? ('true' as const) : undefined,
      input,
      label,
      text,
      needs: needsMe ? ('me' as const) : undefined,
    }
    const viewFilter = view === undefined ? {} : apiFilter((await viewNamed(client, view)).filter)
    const filter = {
      ...viewFilter,
      ...Object.fromEntries(Object.entries(ownFilter).filter(([, value]) => value !== undefined)),
    }
    if (counts) {
      const found = await client.runs.counts(filter)
      const shown = (status: RunStatus, count: number) => `${count}${found.more.includes(status) ? '+' : ''}`
      if (json) printJson(found)
      else
        printTable(
          ['STATUS', 'RUNS'],
          (Object.entries(found.by_status) as [RunStatus, number][]).map(([each, count]) => [
            each,
            shown(each, count),
          ]),
          'No runs match.',
        )
      return 0
    }
    const page = await client.runs.list({
      ...filter,
      sort: order ?? viewFilter.sort ?? 'active',
      limit: limitOf(limit),
      cursor,
    })
    if (json) printJson(page)
    else {
      const rows = page.runs.map((run) => [
        run.run_id,
        run.workflow_name,
        run.status,
        run.created_at,
        workedText(run),
        waitedText(run),
        whyOf(run),
      ])
      const narrowed = Object.keys(filter).length > 0
      printTable(
        ...withoutEmpty('WAITED', ['ID', 'WORKFLOW', 'STATUS', 'CREATED', 'TIME', 'WAITED', 'WHY'], rows),
        narrowed ? 'No runs match.' : 'There are no runs.',
      )
      if (page.next_cursor !== undefined)
        process.stdout.write(`More: errand runs list --cursor ${lineText(page.next_cursor)}\n`)
    }
    return 0
  },
})

import type { QueryClient } from '@tanstack/react-query'
import type { RunnerView } from '../../src/contract/protocol.ts'
import { type Action, asCommand } from '../data/as-command.ts'
import { runnersQuery } from '../data/runners.ts'
import type { RunDetail } from '../data/runs.ts'
import { copyText } from '../parts/copy-button.tsx'
import type { Command } from './commands.ts'

const MOST_RUNNERS = 5

/** Returns the actions available on the current page, each with its label. */
function actionsAt(path: string, client: QueryClient): [string, Action][] {
  const [, of, id = ''] = /\/(runs|tasks|settings)\/([^/]+)$/.exec(path) ?? []
  if (of === 'runs') {
    const run = client.getQueryData<RunDetail>(['run', decodeURIComponent(id)])
    return run === undefined ? [] : actionsOfRun(run)
  }
  const task = decodeURIComponent(id)
  if (of === 'tasks')
    return [
      ['retry the task', { do: 'task-retry', task }],
      ['cancel the task', { do: 'task-cancel', task }],
      ['diff of the task', { do: 'diff', of: 'task', id: task }],
    ]
  if (of !== 'settings' || id !== 'runners') return []
  const runners = client.getQueryData<RunnerView[]>(runnersQuery.queryKey) ?? []
  return runners.slice(0, MOST_RUNNERS).map(({ id: runner, status }) => {
    const verb = status === 'draining' ? 'resume' : 'drain'
    return [`${verb} ${runner}`, { do: verb, runner }]
  })
}

function actionsOfRun({ run_id: run, status, steps }: RunDetail): [string, Action][] {
  const isOver = status !== 'queued' && status !== 'running'
  const log: [string, Action] = ['log', { do: 'log', run }]
  const hasArtifacts = steps.some(({ instances }) =>
    instances.some(({ attempts }) => attempts.some(({ artifacts }) => (artifacts?.length ?? 0) > 0)),
  )
  const rest: [string, Action][] = hasArtifacts
    ? [log, ['artifacts', { do: 'artifacts', run, folder: 'artifacts' }]]
    : [log]
  if (isOver)
    return [
      ...(status === 'success'
        ? []
        : ([['retry failed', { do: 'retry', run, asked: { only: 'failed' } }]] as [string, Action][])),
      ['run again', { do: 'retry', run, asked: { only: 'all' } }],
      ...rest,
    ]
  const asking = steps.filter(({ approval, status: one }) => approval !== undefined && one === 'waiting')
  return [
    ...asking.flatMap(({ step }): [string, Action][] => [
      [`approve ${step}`, { do: 'approve', run, step }],
      [`reject ${step}`, { do: 'reject', run, step }],
    ]),
    ['cancel', { do: 'cancel', run }],
    ...rest,
  ]
}

/** Returns the palette's commands that copy shell commands. */
export function copyCommands(path: string, client: QueryClient): Command[] {
  return actionsAt(path, client).flatMap(([word, action]) => {
    const command = asCommand(action)
    if (command === undefined) return []
    return [
      {
        id: `copy ${command}`,
        word: `Copy as CLI: ${word}`,
        about: command.split('\n')[0]!,
        act: () => copyText(command),
      },
    ]
  })
}

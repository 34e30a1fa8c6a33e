import assert from 'node:assert/strict'
import { test } from 'node:test'
import { eventually } from '../../../test/support/errand-command.ts'
import { startForge } from '../../../test/support/forge/forge-stand-in.ts'
import { Task } from '../../contract/tasks/task.ts'
import { openForge, recogniseForge } from '../../forge/open-forge.ts'
import { fixedToken } from '../../forge/token-source.ts'
import { commentOf, IssueComments, type IssueCommentsOptions } from './issue-comments.ts'
import { issueTaskName } from './issue-task.ts'

type CommentedTask = NonNullable<Awaited<ReturnType<IssueCommentsOptions['get']>>>

test('an issue has one comment, which is edited after an outage of the forge and after a restart', async (t) => {
  const standIn = await startForge({ flavour: 'github' })
  t.after(async () => await standIn.stop())
  const repository = standIn.makeRepository('acme/app', { rights: { errand: 'write' } })
  const issue = standIn.state.addIssue(repository, { title: 'One', by: 'ada' })
  const tokens = fixedToken(standIn.makeToken('errand'))
  const address = { host: new URL(standIn.url).host, path: 'acme/app', protocol: 'http' } as const
  const { spec_name, task_id: own_id } = issueTaskName({ ...address, number: issue.number, kind: undefined })
  const url = `${repository.url}/issues/${issue.number}`
  const task = Task.parse({ title: 'One', issue: url, repo_url: repository.cloneUrl })
  const of = {
    tenant: 'default',
    owner: 'ada',
    spec_name,
    own_id,
    task,
    created_at: new Date().toISOString(),
  }
  const tasks = new Map<string, CommentedTask>([
    ['task_1', { ...of, id: 'task_1', state: 'pending', fold: {} }],
    ['task_2', { ...of, own_id: 'other', id: 'task_2', state: 'pending', fold: {} }],
  ])
  const settings = new Map<string, string>()
  const log: string[] = []
  const open = () =>
    new IssueComments({
      get: async (id) => tasks.get(id),
      open: async () => [],
      forgeOf: async (at) => openForge(await recogniseForge(at), at.path, { tokens, retryCount: 0 }),
      accounts: {
        setting: async (key) => settings.get(key),
        setSetting: async (key, value) => void settings.set(key, value),
      },
      retryMs: 1,
      log: (message) => void log.push(message),
    })
  const stored = () => JSON.parse([...settings.values()][0] ?? '[]') as string[]
  const bodies = () => issue.notes.map(({ body }) => body)

  const first = open()
  await first.resume()
  standIn.fault({ match: /comments/, how: { status: 503 }, times: 2 })
  first.changed('task_1')
  first.changed('task_2')
  await eventually('the comment', () => bodies().length === 1)
  assert.match(bodies()[0]!, /has created task task_1 for this issue/)
  assert.match(log.join('\n'), /could not be written; trying again/)
  await first.close()
  assert.deepEqual(stored(), ['task_1'])

  // The task ended, and the process was killed before it reported that.
  const message = '@everyone it closes #7\n/merge'
  tasks.set('task_1', { ...tasks.get('task_1')!, state: 'failed', reason: 'test', message })
  const next = open()
  await next.resume()
  await eventually('all updates to be sent', () => stored().length === 0)
  await next.close()
  assert.equal(bodies().length, 1)
  assert.match(bodies()[0]!, /could not complete this task \(test\)/)
  assert.doesNotMatch(bodies()[0]!, /@everyone|closes #7|^> \/merge/m)
})

test('the comment says that a pull request is no longer followed, unless a person turned it off', () => {
  const pull_request = { url: 'https://git.example/1', number: 1, state: 'open' } as const
  const text = (why: 'tries' | 'off') => {
    const follow = { tries: [], notes: [], stopped: { why, message: 'Said @often enough.' } }
    const fold = { pull_request, follow }
    const of = { id: 'task_1', tenant: 'default', owner: 'ada', spec_name: 's', own_id: '1' }
    return commentOf({ ...of, state: 'in_review', fold }).text
  }
  assert.match(
    text('tries'),
    /git\.example\/1\n\nA person must continue from here\. Said @\u2060often enough\./,
  )
  assert.doesNotMatch(text('off'), /person must continue/)
})

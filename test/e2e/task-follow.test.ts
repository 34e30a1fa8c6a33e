import assert from 'node:assert/strict'
import test from 'node:test'
import { eventually } from '../support/errand-command.ts'
import { runTurn } from '../support/model-server/server.ts'
import { taskPlace } from '../support/tasks/task-place.ts'

test('a labeled issue becomes a pull request, its failing check another commit, by webhooks and across a kill', async (t) => {
  const { forge, repository, programs, hook } = await taskPlace(t, {
    script: ({ prompts, toolResults }) =>
      toolResults.length > 0
        ? { text: 'It is made.' }
        : runTurn(
            prompts.join().includes('Error: no shop') ? 'echo shop > shop.txt' : 'echo made > made.txt',
          ),
    hook: { owner: 'admin', every_seconds: 86_400, task: { follow: true, commits: 'squash' } },
    programs: { hubEnv: { ERRAND_REVIEW_POLL: '1d', ERRAND_TASK_RETRY: '1s' } },
  })
  const { state } = forge
  Object.assign(repository.rights, { ada: 'write' })
  const issue = state.addIssue(repository, { title: 'Make it', by: 'ada', labels: ['errand'] })
  const task = async () => {
    const [first] = (await programs.client.tasks.list({}).catch(() => ({ tasks: [] }))).tasks
    return first && (await programs.client.tasks.get(first.id).catch(() => undefined))
  }
  const becomes = async (what: string, is: (of: NonNullable<Awaited<ReturnType<typeof task>>>) => boolean) =>
    await eventually(what, async () => {
      const now = await task()
      return now !== undefined && is(now) && now
    })
  const { id } = await becomes('its pull request', (now) => now.state === 'in_review')
  const pulls = () => repository.tickets.filter(({ pull }) => pull !== undefined)
  const pull = pulls()[0]!
  const commits = () => state.git(repository.path, ['rev-list', `main..${pull.pull!.head}`]).split('\n')
  const [head] = commits()

  const log = 'Installing\nError: no shop here\n'
  const url = `${repository.url}/actions/runs/1/jobs/0`
  state.setCheck(repository, { sha: head!, name: 'unit', state: 'failure', isRun: true, log, url })
  await becomes('the decision', (now) => now.follow?.tries === 1)
  await programs.kill('hub')
  await programs.startHub()
  await becomes('the end of the other try', (now) => now.state === 'in_review' && now.tries.length === 2)
  const [second, ...before] = commits()
  assert.deepEqual(before, [head])
  assert.equal(state.git(repository.path, ['show', `${second}:shop.txt`]), 'shop')

  const shown = await programs.call('task', 'show', id)
  assert.match(shown.stdout, /follow: on, 1 try made/)
  assert.equal((await programs.call('task', 'follow', id, 'off')).code, 0)
  assert.match((await programs.call('task', 'show', id)).stdout, /follow: off/)
  assert.equal((await programs.call('task', 'follow', id)).code, 0)
  state.setCheck(repository, { sha: second!, name: 'unit', state: 'success', isRun: true })
  const forged = await fetch(hook!.url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-hub-signature-256': `sha256=${'0'.repeat(64)}` },
    body: JSON.stringify({ repository: { full_name: repository.path } }),
  })
  assert.equal(forged.status, 401)
  const large = { method: 'POST', headers: { 'content-type': 'application/json' } }
  assert.equal((await fetch(hook!.url, { ...large, body: `"${'x'.repeat(1024 * 1024)}"` })).status, 413)

  // No step receives the key that signs them.
  const file = { version: 'v0.1', name: 'w', steps: [{ name: 's', action: 'cmd.run', args: { cmd: 'env' } }] }
  const workflow = { ...file, steps: [{ ...file.steps[0]!, secrets: ['HOOK'] }] }
  await assert.rejects(programs.client.runs.create({ workflow } as never), /the key of an App or of webhooks/)

  state.merge(repository, pull)
  await becomes('the merge', (now) => now.state === 'done')
  const { stdout } = await programs.call('task', 'events', id, '--json')
  const events = stdout
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line))
  assert.deepEqual(
    events.filter(({ type }) => type === 'task.follow').map(({ action }) => action),
    ['try', 'stop', 'begin'],
  )
  assert.equal(pulls().length, 1)
  assert.match(pull.body, new RegExp(`#${issue.number}\\b`))
})

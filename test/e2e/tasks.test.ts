import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { eventually } from '../support/errand-command.ts'
import { runTurn } from '../support/model-server/server.ts'
import { taskPlace } from '../support/tasks/task-place.ts'

test('a task becomes a pull request by one command, with its evidence', async (t) => {
  const { forge, repository, programs } = await taskPlace(t, {
    script: [runTurn('echo made > made.txt'), { text: 'It is made.' }],
  })
  const ran = await programs.call('task', 'run', '--title', 'Make it', '--repo', repository.cloneUrl)
  assert.equal(ran.code, 0, ran.stdout + ran.stderr)
  const [pull] = repository.tickets.filter((each) => each.pull !== undefined)
  assert.deepEqual([pull?.title, pull?.pull?.base], ['Make it', 'main'])
  assert.equal(forge.state.git(repository.path, ['show', `${pull!.pull!.head}:made.txt`]), 'made')
  const [run] = (await programs.client.runs.list({})).runs
  for (const text of [ran.stdout, (await programs.call('runs', 'show', run!.run_id)).stdout]) {
    assert.match(text, /pull_request/)
    assert.doesNotMatch(text, /moved_|push\.|gave_up|protected_approval/)
  }
  const all = await programs.call('runs', 'show', run!.run_id, '--all')
  assert.match(all.stdout, /test\.moved_2 .*skipped/)
  // check, workspace, setup, implement, carry, test, push, pull_request
  assert.deepEqual(run!.route, { stops: 'dddddddd' })
  const artifacts = await programs.call('runs', 'artifacts', run!.run_id)
  for (const name of ['checkpoint.pack', 'change.diff', 'files.json'])
    assert.ok(artifacts.stdout.includes(name), artifacts.stdout + artifacts.stderr)
})

for (const flavour of ['github', 'gitea', 'gitlab'] as const)
  test(`an issue of ${flavour} becomes a pull request that closes it, by one command`, async (t) => {
    const { forge, repository, programs, server, token } = await taskPlace(t, {
      flavour,
      script: ({ toolResults }) =>
        toolResults.length > 0 ? { text: 'It is made.' } : runTurn('echo made > made.txt'),
    })
    const body = 'The shop lacks it.\n\n## Acceptance criteria\n- There is made.txt'
    const issue = forge.state.addIssue(repository, { title: 'Make it so', body, by: 'ada' })
    const address = `${repository.url}${flavour === 'gitlab' ? '/-' : ''}/issues/${issue.number}`
    const ran = await programs.call('task', 'run', address)
    assert.equal(ran.code, 0, ran.stdout + ran.stderr)
    const pulls = repository.tickets.filter((each) => each.pull !== undefined)
    assert.equal(pulls.length, 1)
    assert.match(pulls[0]!.body, new RegExp(`Closes .*#${issue.number}\\b`))
    assert.match(pulls[0]!.body, /There is made\.txt/)
    assert.equal(forge.state.git(repository.path, ['show', `${pulls[0]!.pull!.head}:made.txt`]), 'made')
    assert.ok(server.requests.length > 0)
    assert.ok(!JSON.stringify(server.requests.map((each) => each.body)).includes(token))

    const ours = () => issue.notes.filter((note) => note.body.includes('<!-- errand:task'))
    await eventually('the comment', () => ours().some((note) => note.body.includes('Pull request: http')))
    assert.equal(ours().length, 1)

    // Asking again gives the same task, whatever was said since. A closed issue, or one that does not exist, gives
    // none.
    forge.state.comment(repository, issue, 'ada', 'Is it done?')
    const again = await programs.call('task', 'run', address, '--detach')
    assert.equal(again.code, 0, again.stderr)
    assert.equal((await programs.client.tasks.list({})).tasks.length, 1)
    const other = await programs.call('task', 'run', address, '--agent', 'codex', '--detach')
    assert.match(other.stderr, /differs in agent/)
    const closed = forge.state.addIssue(repository, { title: 'Old', by: 'ada' })
    forge.state.edit(closed, { isOpen: false }, 'ada')
    const old = await programs.call('task', 'run', address.replace(/\d+$/, `${closed.number}`), '--detach')
    assert.match(old.stderr, /is closed/)
    const none = await programs.call('task', 'run', address.replace(/\d+$/, '777'), '--detach')
    assert.match(none.stderr, /777/)
    assert.equal((await programs.client.tasks.list({})).tasks.length, 1)
  })

test('issues are read with a token, from forges that the hub may reach', async (t) => {
  const { forge, repository, programs } = await taskPlace(t, { script: [] })
  const issue = forge.state.addIssue(repository, { title: 'Make it so', by: 'ada' })
  const run = (address: string) => programs.call('task', 'run', address, '--detach')
  const inner = await run('http://127.0.0.1:1/o/r/issues/1')
  assert.match(inner.stderr, /is not encrypted/)
  assert.match(inner.stderr, /ERRAND_GIT_ALLOW/)
  const secret = await run('https://127.0.0.1:1/o/r/issues/1')
  assert.match(secret.stderr, /is not on the public internet/)
  const noIssue = await run(`${repository.url}/wiki/1`)
  assert.match(noIssue.stderr, /not the address of an issue/)
  await programs.call('secrets', 'delete', 'GIT_TOKEN')
  const noToken = await run(`${repository.url}/issues/${issue.number}`)
  assert.match(noToken.stderr, /errand secrets set GIT_TOKEN/)
  assert.equal((await programs.client.tasks.list({})).tasks.length, 0)
})

test('a token is sent only to its own servers, for any address of a task or an issue', async (t) => {
  const { forge, repository, token, programs } = await taskPlace(t, {
    script: [],
    tokenHost: 'git.example.com:8443',
  })
  const allowing = new RegExp(`errand secrets set GIT_TOKEN --host ${forge.host}`)
  const issue = forge.state.addIssue(repository, { title: 'Give it to me', by: 'eve' })
  // The name of this secret is for github.com, which this server is not.
  await programs.call('secrets', 'set', `GITHUB_TOKEN=${token}`)
  const file = join(programs.home, 'task.yaml')
  const task = { title: 'Make it', repo_url: repository.cloneUrl }
  writeFileSync(file, JSON.stringify(task))
  const ran = await programs.call('task', 'run', file)
  assert.notEqual(ran.code, 0)
  assert.match(ran.stdout + ran.stderr, /repo auth: /)
  assert.match(ran.stdout + ran.stderr, allowing)
  const result = await programs.call('task', 'run', `${repository.url}/issues/${issue.number}`, '--detach')
  assert.match(result.stderr, allowing)
  for (const git_token_env_var of ['GIT_TOKEN', 'GITHUB_TOKEN']) {
    writeFileSync(file, JSON.stringify({ ...task, task_id: git_token_env_var, git_token_env_var }))
    const named = await programs.call('task', 'run', file)
    assert.match(named.stdout + named.stderr, /may not be sent to 127\.0\.0\.1/)
    assert.match(named.stdout + named.stderr, new RegExp(`set ${git_token_env_var} --host ${forge.host}`))
  }
  const workflow = {
    ...{ version: 'v0.1', name: 'w', workspace: { repo: repository.cloneUrl } },
    steps: [{ name: 's', action: 'noop' }],
  }
  const run = await programs.client.runs.create({ workflow } as never)
  assert.equal((await programs.ended(run.run_id)).status, 'failed')
  // The author of the step names the secret, but it is still not sent.
  const named = { ...workflow, workspace: { ...workflow.workspace, secrets: ['GIT_TOKEN'] } }
  const refused = await programs.ended(
    (await programs.client.runs.create({ workflow: named } as never)).run_id,
  )
  assert.deepEqual([refused.status, refused.reason], ['failed', 'invalid_argument'])
  assert.match(refused.message!, allowing)
  assert.ok(forge.seen.length > 3)
  for (const { headers, path, body } of forge.seen) {
    const text = [path, body, ...Object.values(headers)].join(' ')
    const basic = Buffer.from(/Basic (\S+)/.exec(text)?.[1] ?? '', 'base64').toString()
    assert.ok(!`${text} ${basic}`.includes(token), path)
  }

  // The command that the messages name is sufficient.
  const allowed = await programs.call('secrets', 'set', 'GIT_TOKEN', '--host', forge.host)
  assert.match(allowed.stdout, new RegExp(`may be sent to git\\.example\\.com:8443, ${forge.host}\\.`))
  const again = await programs.client.runs.create({ workflow } as never)
  assert.equal((await programs.ended(again.run_id)).status, 'success')
  const list = await programs.call('secrets', 'list')
  assert.match(list.stdout, new RegExp(`GIT_TOKEN .*git\\.example\\.com:8443, ${forge.host}`))
})

test('labeled issues of a watched repository become tasks, each once, across a kill of the hub', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'errand-watch-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const config = join(folder, 'errand.yaml')
  writeFileSync(config, 'repos: []\n')
  const { forge, repository, programs } = await taskPlace(t, {
    script: ({ toolResults }) =>
      toolResults.length > 0 ? { text: 'It is made.' } : runTurn('echo made > made.txt'),
    programs: { hubArgs: ['--config', config] },
  })
  const add = (title: string, by: string) => {
    const issue = forge.state.addIssue(repository, { title, by: 'eve' })
    forge.state.label(repository, issue, 'errand', by)
    return issue
  }
  Object.assign(repository.rights, { ada: 'write' })
  const first = add('Make it', 'ada')
  add('Not to be made', 'eve')
  const owner = 'admin'
  const watch = { owner, every_seconds: 1, task: { agent: 'builtin', required_skill: 'shop' } }
  const playbook = {
    name: 'of the shop',
    required_skill: 'shop',
    steps: [{ name: 'is made', command: 'test -e made.txt' }],
  }
  // The file is read while the hub runs.
  writeFileSync(
    config,
    JSON.stringify({ repos: [{ name: 'shop/web', url: repository.url, watch }], playbooks: [playbook] }),
  )
  const pulls = () => repository.tickets.filter(({ pull }) => pull !== undefined)
  await eventually('its pull request', () => pulls().length === 1)
  await programs.kill('hub')
  const second = add('Make it too', 'ada')
  await programs.startHub()
  await eventually('the other pull request', () => pulls().length === 2)
  const { tasks } = await programs.client.tasks.list({})
  assert.deepEqual(tasks.map(({ task_id }) => Number(task_id)).sort(), [first.number, second.number])
  assert.deepEqual(
    tasks.map((task) => task.owner),
    [owner, owner],
  )
  const [run] = (await programs.client.runs.list({})).runs
  const events = await programs.call('runs', 'events', run!.run_id)
  assert.match(
    events.stdout,
    /Playbook .{0,2}of the shop.{0,2} from the hub, because the task requires the skill/,
  )
})

test('protected files are pushed only after a person approves, also after a kill', async (t) => {
  const { forge, repository, programs } = await taskPlace(t, {
    script: ({ toolResults }) =>
      toolResults.length > 0
        ? { text: 'It is made.' }
        : runTurn(
            'echo made > made.txt; mkdir -p .github/workflows; echo "on: push" > .github/workflows/ci.yml',
          ),
  })
  const run = async (id: string) => {
    await programs.call('task', 'run', '--title', id, '--id', id, '--repo', repository.cloneUrl, '--detach')
    const waits = async () => (await programs.client.tasks.get(id)).state === 'waiting'
    await eventually('the question', waits)
    return (await programs.client.tasks.get(id)).message
  }
  assert.match((await run('yes')) ?? '', /protected files: "\.github\/workflows\/ci\.yml"/)
  await run('no')
  await programs.kill('hub', 'runner')
  const pulls = () => repository.tickets.filter(({ pull }) => pull !== undefined).map(({ title }) => title)
  const branches = () => forge.state.git(repository.path, ['branch', '--list', 'errand/*']).trim()
  assert.deepEqual([pulls(), branches()], [[], ''])
  await programs.startHub()
  await programs.startRunner()
  const rejected = await programs.call('task', 'reject', 'no')
  assert.equal(rejected.code, 0, rejected.stderr)
  const approved = await programs.call('task', 'approve', 'yes')
  assert.equal(approved.code, 0, approved.stderr)
  const state = async (id: string) => (await programs.client.tasks.get(id)).state
  await eventually(
    'both ends',
    async () => (await state('no')) === 'failed' && (await state('yes')) === 'in_review',
  )
  assert.deepEqual(pulls(), ['yes'])
  assert.doesNotMatch(branches(), /no-no/)
})

test('tasks end as their agents report, by protected files, and with another plan if a person wants one', async (t) => {
  const { repository, server, programs } = await taskPlace(t, {
    script: ({ prompts, toolResults }) => {
      const all = prompts.join('\n')
      if (/Write a plan/.test(all)) return { text: /says: smaller/.test(all) ? 'PLAN TWO' : 'PLAN ONE' }
      if (/Task: planned/.test(all))
        return toolResults.length > 0 ? { text: 'It is made.' } : runTurn('echo made > made.txt')
      if (/Task: forbidden/.test(all))
        return toolResults.length > 0
          ? { text: 'It is made.' }
          : runTurn('echo made | tee made.txt lock.json')
      if (/Task: nothing/.test(all)) return { text: 'NOTHING TO DO: it is there' }
      return { text: 'CANNOT: there is no such library' }
    },
  })
  const tap = 'echo "TAP version 13"; echo "ok 1 - a"; echo "ok 2 - b # SKIP"; echo 1..2; test -e made.txt'
  const file = join(programs.home, 'tasks.json')
  const shared = { repo_url: repository.cloneUrl, test_commands: [tap] }
  const tasks = [
    { ...shared, task_id: 'planned', title: 'planned', plan: true },
    { ...shared, task_id: 'forbidden', title: 'forbidden', protect: ['*.json'] },
    { ...shared, task_id: 'nothing', title: 'nothing', test_commands: ['test -e README.md'] },
    { ...shared, task_id: 'cannot', title: 'cannot' },
  ]
  writeFileSync(file, JSON.stringify({ tasks }))
  const started = await programs.call('task', 'run', file, '--detach')
  assert.equal(started.code, 0, started.stderr)
  const view = async (id: string) => await programs.client.tasks.get(id)
  const waitsForApproval = (plan: string) => async () => {
    const { state, message } = await view('planned')
    return state === 'waiting' && message?.includes(plan) === true
  }
  await eventually('the plan', waitsForApproval('PLAN ONE'))
  const no = await programs.call('task', 'reject', 'planned', '--comment', 'smaller')
  assert.equal(no.code, 0, no.stderr)
  await eventually('another plan', waitsForApproval('PLAN TWO'))
  const yes = await programs.call('task', 'approve', 'planned')
  assert.equal(yes.code, 0, yes.stderr)
  const over = ['in_review', 'done', 'failed', 'no_change']
  const ends = async () =>
    (await programs.client.tasks.list({})).tasks.every(({ state }) => over.includes(state))
  await eventually('their ends', ends)

  const planned = await view('planned')
  assert.equal(planned.state, 'in_review', planned.message)
  const pulls = repository.tickets.filter(({ pull }) => pull !== undefined)
  assert.deepEqual(
    pulls.map(({ title }) => title),
    ['planned'],
  )
  assert.match(pulls[0]!.body, /### Tests\n.*1 passed, 0 failed, 1 skipped/)
  assert.ok(
    server.requests.some(({ prompts }) => /the approved plan[^<]*<<<[^>]*PLAN TWO/.test(prompts.join('\n'))),
  )
  const reported = async (id: string) => {
    const { state, reason, message } = await view(id)
    return [state, reason, message]
  }
  const [state, reason, message] = await reported('forbidden')
  assert.deepEqual([state, reason], ['failed', 'protected_path'])
  assert.match(message!, /lock\.json/)
  assert.deepEqual(await reported('nothing'), ['no_change', undefined, 'NOTHING TO DO: it is there'])
  const cannot = await reported('cannot')
  assert.deepEqual(cannot.slice(0, 2), ['failed', 'gave_up'])
  assert.match(cannot[2]!, /says that it cannot: there is no such library/)
})

import assert from 'node:assert/strict'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { runTurn } from '../support/model-server/server.ts'
import { sandboxMissing } from '../support/runner/box-fixture.ts'
import { taskPlace } from '../support/tasks/task-place.ts'

const RUNNERS_OWN = 'the-runners-own-token-0123456789'

test('an App creates for each step a token for one repository, and nothing that the agent sees contains it', {
  skip: sandboxMissing(),
}, async (t) => {
  const look = [
    'env',
    'git config --list --show-origin',
    'cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline',
    'printf "protocol=http\\nhost=x\\n\\n" | git -c credential.interactive=false credential fill',
    'find "$PWD" "$PWD/.." -type f -not -path "*/looked.txt" -exec cat {} +',
  ]
  const script = `{ ${look.join('; ')}; } > looked.txt 2>&1; echo made > made.txt`
  const { forge, repository, app, programs } = await taskPlace(t, {
    app: true,
    script: [runTurn(script), { text: 'It is made.' }],
    programs: { runnerEnv: { GIT_TOKEN: RUNNERS_OWN } },
  })
  const file = join(programs.home, 'task.yaml')
  const task = { title: 'Make it', repo_url: repository.cloneUrl, isolation: 'sandbox' }
  writeFileSync(file, JSON.stringify(task))
  const ran = await programs.call('task', 'run', file)
  assert.equal(ran.code, 0, ran.stdout + ran.stderr)
  const [pull] = repository.tickets.filter((each) => each.pull !== undefined)
  assert.equal(pull?.pull?.base, 'main')
  const rights = app!.minted.map(({ right, mayOpenPulls }) => [right, mayOpenPulls])
  // The tokens after these are the hub's own, which checks whether the pull request is merged.
  assert.deepEqual(rights.slice(0, 4), [
    ['write', false],
    ['read', false],
    ['write', false],
    ['write', true],
  ])
  assert.equal(app!.minted[3]!.gitRight, 'read')
  for (const { repositories } of app!.minted) assert.deepEqual(repositories, [repository.path])
  const secrets = [...app!.minted.map((each) => each.token), RUNNERS_OWN, app!.privateKey.split('\n')[3]!]
  const seen = forge.state.git(repository.path, ['show', `${pull!.pull!.head}:looked.txt`])
  assert.match(seen, /ERRAND_ATTEMPT_MARK/)
  const [run] = (await programs.client.runs.list({})).runs
  const events = await programs.call('runs', 'events', run!.run_id)
  const logs = await programs.call('runs', 'logs', run!.run_id)
  assert.deepEqual([events.code, logs.code], [0, 0], events.stderr + logs.stderr)
  for (const text of [
    seen,
    events.stdout,
    logs.stdout,
    JSON.stringify(await programs.client.runs.get(run!.run_id)),
  ])
    for (const secret of secrets) assert.ok(!text.includes(secret))
  // Neither folder has a token once the steps have ended.
  for (const folder of [programs.data, programs.runnerFolder])
    for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true }))
      if (entry.isFile()) {
        const bytes = readFileSync(join(entry.parentPath, entry.name))
        for (const secret of secrets) assert.ok(!bytes.includes(secret), join(entry.parentPath, entry.name))
      }
  // The key that creates tokens is given to nobody, and no workflow of a user can have a token created.
  const create = async (secrets: unknown) =>
    await programs.client.runs
      .create({
        workflow: {
          version: 'v0.1',
          name: 'w',
          steps: [{ name: 's', action: 'cmd.run', args: { cmd: 'env' }, secrets }],
        },
      } as never)
      .then(
        () => 'begun',
        (error: Error) => error.message,
      )
  assert.match(await create(['APP_KEY']), /is the key of an App/)
  const made = { forge: { host: forge.host, repository: repository.path, rights: 'write' } }
  assert.match(await create({ GIT_TOKEN: made }), /only coding tasks/)
})

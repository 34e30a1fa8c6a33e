import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { attemptSpec, command } from '../../../test/support/runner/attempt-fixture.ts'
import { sandboxMissing } from '../../../test/support/runner/box-fixture.ts'
import { exportArgs } from '../../../test/support/runner/export-fixture.ts'
import { branch, onlyHidden, workingPlace } from '../../../test/support/runner/working-place.ts'
import { run } from '../../../test/support/sources/git-fixture.ts'
import { secretUses } from '../../contract/step-secrets.ts'

const skip = sandboxMissing()
const value = 'postgres://shop:Tr0ub4dor&3@db.internal/shop'
const values = { TEST_DB: value }
const hidden = { secrets: onlyHidden('TEST_DB') }

/** Makes a task whose setup has a secret, up to the start of its agent. */
async function preparedPlace(t: TestContext, ...setup: (string | { command: string; commits: boolean })[]) {
  const here = await workingPlace(t, 'one\n')
  const steps = setup.map((each, index) => ({
    name: `step ${index}`,
    phase: 'setup',
    ...(typeof each === 'string' ? { command: each } : each),
  }))
  const { START_SHA } = await here.done(attemptSpec('git.workspace', { repo: here.url }))
  const start = START_SHA!
  const prepare = attemptSpec(
    'playbook.run',
    { start, phase: 'setup', playbook: { name: 'p', steps } },
    { secrets: secretUses(['TEST_DB']) },
  )
  const exportSpec = (more: object = {}) =>
    attemptSpec('git.carry', { ...exportArgs(start), ...more }, hidden)
  return {
    ...{ ...here, start, prepare },
    exportChange: (more?: object) => here.done(exportSpec(more), values),
    refused: async (more?: object) => {
      const end = await here.ended(exportSpec(more), values)
      assert.deepEqual([end.outcome, end.reason], ['failed', 'unsafe_change'])
      assert.ok(!end.message!.includes(value))
      assert.equal(here.kept.size, 0)
      return end.message!
    },
    agent: (shell: string) => here.done(command(shell)),
    async pushed(tip: string) {
      await here.done({ ...here.push({ start: '', tip }), ...hidden }, values)
      return run(here.folder, ['log', '-p', '--format=%s', `${start}..${branch}`])
    },
    names: () => run(here.folder, ['diff', '--name-only', start, branch]),
  }
}

const writesEnv = 'printf "DB=%s\\n" "$TEST_DB" > .env'

test("files that setup leaves are not committed, and the agent's changes are", { skip }, async (t) => {
  const here = await preparedPlace(
    t,
    `${writesEnv}; mkdir -p gen; echo a > gen/a; echo b > gen/b; echo two >> README.md; echo c > 'c "c"'`,
  )
  await here.done(here.prepare, values)
  await here.agent('echo mine > mine; echo more >> gen/b; grep -q "^DB=postgres" .env')
  const { TIP_SHA: tip } = await here.exportChange()
  const output = await here.pushed(tip!)
  assert.equal(here.names(), 'gen/b\nmine')
  assert.ok(!output.includes('Tr0ub4dor'))
  for (const [name, bytes] of here.kept) {
    if (name.endsWith('.pack')) continue
    assert.ok(!bytes.includes('Tr0ub4dor'), name)
  }
  // A file that both the setup and the agent have changed is the agent's work.
  await here.agent('echo three >> README.md')
  const again = await here.exportChange()
  assert.equal(run(here.ownGit(), ['show', `${again.TIP_SHA}:README.md`]), 'one\ntwo\nthree')
})

test("commits of an agent that adds everything leave out setup's files, and keep their messages", {
  skip,
}, async (t) => {
  const here = await preparedPlace(t, writesEnv, 'echo two >> README.md')
  await here.done(here.prepare, values)
  const commit = 'git add -A && git commit -qm'
  await here.agent(
    `git commit -qam "What was there"; echo a > a; ${commit} First; echo b > b; ${commit} Second`,
  )
  const { TIP_SHA: tip } = await here.exportChange()
  const output = await here.pushed(tip!)
  assert.deepEqual(here.subjects(`${here.start}..${branch}`), ['Second', 'First'])
  assert.equal(here.names(), 'a\nb')
  assert.ok(!output.includes('Tr0ub4dor') && !output.includes('.env'))
})

for (const [what, shell, place] of [
  ['a file of its own', 'cp .env config', '"config", line 1'],
  ['another form', `printf %s '${Buffer.from(value).toString('base64')}' > src`, '"src", line 1'],
  ['a file that setup wrote and it has changed', 'echo MORE=1 >> .env', '".env", line 1'],
  [
    'a commit that the next one takes back',
    `cp .env x; git add x; git commit -qm x; git rm -q x; echo y > y; git add y; git commit -qm y`,
    '"x", line 1',
  ],
  [
    'the words of a commit',
    `git commit -q --allow-empty -m "$(cut -c4- .env)"; echo y > y`,
    'a commit message or a file name',
  ],
] as const)
  test(`a secret of setup does not leave in ${what}`, { skip }, async (t) => {
    const here = await preparedPlace(t, writesEnv)
    await here.done(here.prepare, values)
    await here.agent(shell)
    const message = await here.refused()
    assert.ok(message.startsWith('The change contains secrets. '), message)
    assert.ok(message.includes(place) && message.includes('the secret TEST_DB'), message)
  })

test('work that was exported before the secret was known is not pushed', { skip }, async (t) => {
  const here = await preparedPlace(t)
  const { tip } = await here.exported(
    `printf %s '${value}' > config; git add .; git commit -qm x; rm config; echo y > y`,
  )
  const push = { ...here.push({ start: '', tip }), ...hidden }
  const end = await here.ended(push, values)
  assert.deepEqual([end.outcome, end.reason], ['failed', 'unsafe_change'])
  assert.match(end.message!, /"config", line 1: the secret TEST_DB/)
  assert.equal(run(here.folder, ['for-each-ref', `refs/heads/${branch}`]), '')
})

test("a follow-up's additions to the work of others are checked too", { skip }, async (t) => {
  const here = await preparedPlace(t)
  const made = await here.exported(`printf %s '${value}' > config`)
  const theirs = here.others('theirs', 'theirs\n')
  const stored = here.kept.size
  here.kept.clear()
  const end = await here.ended({ ...here.push(made), ...hidden }, values)
  assert.ok(stored > 0)
  assert.deepEqual([end.reason, here.kept.size], ['unsafe_change', 0])
  assert.equal(run(here.folder, ['rev-parse', branch]), theirs)
})

test('a setup that fails or restarts leaves nothing for the commit', { skip }, async (t) => {
  const here = await preparedPlace(t, writesEnv, 'echo first > first; test -f .git/go')
  const end = await here.ended(here.prepare, values)
  assert.deepEqual([end.outcome, end.reason], ['failed', 'workspace'])
  assert.equal((await here.exportChange()).TIP_SHA, '')
  // The state that a runner leaves when it is killed in the middle.
  const file = join(here.ownGit(), 'errand-setup.json')
  const record = JSON.parse(readFileSync(file, 'utf8')) as object
  writeFileSync(file, JSON.stringify({ ...record, left: [], isOpen: true }))
  assert.equal((await here.exportChange()).TIP_SHA, '')
  await here.agent('echo go > .git/go')
  await here.done({ ...here.prepare, attempt_id: 'run_test.900' }, values)
  await here.agent('echo mine > mine')
  const { TIP_SHA: tip } = await here.exportChange()
  await here.pushed(tip!)
  assert.equal(here.names(), 'mine')
})

test('a setup step marked for commit is committed, and the steps around it are not', { skip }, async (t) => {
  const here = await preparedPlace(
    t,
    'echo a > a; echo shared > shared',
    { command: 'echo b > b; echo more >> shared', commits: true },
    'echo c > c',
  )
  await here.done(here.prepare, values)
  await here.agent('echo mine > mine')
  const { TIP_SHA: tip } = await here.exportChange()
  await here.pushed(tip!)
  assert.equal(here.names(), 'b\nmine\nshared')
})

test('others who changed the same files as setup keep their change', { skip }, async (t) => {
  const here = await preparedPlace(t, 'echo two >> README.md')
  await here.done(here.prepare, values)
  await here.agent('echo mine > mine')
  const { TIP_SHA: tip } = await here.exportChange()
  here.others('README.md', 'one\ntwo\n')
  const waits = await here.done(
    here.push({ start: here.start, tip: tip! }, { retest: 'always', last: false }),
  )
  await here.agent('echo after > after')
  const again = await here.done(attemptSpec('git.carry', exportArgs(waits.START_SHA!)))
  assert.equal(run(here.ownGit(), ['show', `${again.TIP_SHA}:README.md`]), 'one\ntwo')
})

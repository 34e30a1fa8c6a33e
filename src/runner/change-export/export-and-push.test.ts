import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { attemptSpec, command } from '../../../test/support/runner/attempt-fixture.ts'
import { sandboxMissing } from '../../../test/support/runner/box-fixture.ts'
import { exportArgs } from '../../../test/support/runner/export-fixture.ts'
import { branch, type WorkingPlace, workingPlace } from '../../../test/support/runner/working-place.ts'
import { needsLogin, run } from '../../../test/support/sources/git-fixture.ts'
import { SNAPSHOT_REF } from '../../contract/tasks/actions.ts'

const skip = sandboxMissing()
const lines = (...texts: string[]) => texts.map((each) => `${each}\n`).join('')
const base = lines('one', 'two', 'three', 'four', 'five', 'six', 'seven')

test('a checkout is changed in the sandbox, and the change is pushed', { skip }, async (t) => {
  const here = await workingPlace(t, base)
  const made = await here.exported('echo changed > README.md; git commit -qam "Change it"; echo left > over')
  assert.equal(made.files, '2')
  assert.ok(here.kept.has('checkpoint.pack'))
  const { start, tip } = made
  const pushed = await here.done(here.push({ start: '', tip }))
  assert.deepEqual(pushed, { PUSHED_SHA: tip, BRANCH: branch })
  assert.equal(run(here.folder, ['rev-parse', branch]), tip)
  assert.deepEqual(here.subjects(`${start}..${branch}`), ['Do it', 'Change it'])
  assert.equal(here.shown(`${branch}:README.md`), 'changed')
})

test('commits that others pushed in the meantime stay, and the change follows them', { skip }, async (t) => {
  const here = await workingPlace(t, base)
  const { start, tip } = await here.exported(
    'echo mine > mine; git add mine; git commit -qm Mine; echo two >> mine',
  )
  const theirs = here.others('theirs', 'theirs\n')
  const ask = here.push({ start, tip }, { retest: 'touched' })
  const pushed = await here.done(ask)
  assert.deepEqual([pushed.START_SHA, pushed.MOVED, pushed.TIP_SHA], [theirs, '', pushed.PUSHED_SHA])
  assert.deepEqual(here.subjects(`${theirs}..${branch}`), ['Do it', 'Mine'])
  assert.equal(here.shown(`${branch}:theirs`), 'theirs')
  assert.equal(here.shown(`${branch}:mine`), 'mine\ntwo')
  const list = JSON.parse(here.kept.get('files.json')!.toString())
  assert.deepEqual([list.start, list.tip, list.history], [theirs, pushed.PUSHED_SHA, 'caught_up'])
  // Imitates a crash before its end was known.
  const again = await here.done(ask)
  assert.equal(again.PUSHED_SHA, pushed.PUSHED_SHA)
  assert.equal(run(here.folder, ['rev-parse', branch]), pushed.PUSHED_SHA)
})

test('if others touched the same file, the change is tested before the push', { skip }, async (t) => {
  const here = await workingPlace(t, base)
  const { start, tip } = await here.exported("sed -i 's/one/ONE/' README.md; echo junk > junk.log")
  const theirs = here.others('README.md', base.replace('seven', 'SEVEN'))
  const more = { retest: 'touched', last: false }
  const waits = await here.done(here.push({ start, tip }, more))
  assert.deepEqual([waits.START_SHA, waits.MOVED, waits.CONFLICTS], [theirs, 'yes', ''])
  assert.equal(run(here.folder, ['rev-parse', branch]), theirs)
  await here.done(
    command(`grep -q ONE README.md && grep -q SEVEN README.md && test -f junk.log &&
      test "$(git rev-parse HEAD)" = ${waits.TIP_SHA} && test "$(git rev-parse ${SNAPSHOT_REF})" = ${waits.TIP_SHA}`),
  )
  const pushed = await here.done(here.push({ start: waits.START_SHA!, tip: waits.TIP_SHA! }, more))
  assert.deepEqual([pushed.PUSHED_SHA, pushed.MOVED], [waits.TIP_SHA, ''])
})

test('if no test is possible any more, the branch stays as others left it', { skip }, async (t) => {
  const here = await workingPlace(t, base)
  const made = await here.exported("sed -i 's/one/ONE/' README.md")
  const theirs = here.others('README.md', base.replace('seven', 'SEVEN'))
  const end = await here.ended(here.push(made, { retest: 'always' }))
  assert.deepEqual([end.outcome, end.reason], ['failed', 'branch_moved'])
  assert.equal(run(here.folder, ['rev-parse', branch]), theirs)
})

test('a conflict names each file, and leaves the branch alone', { skip }, async (t) => {
  const here = await workingPlace(t, base)
  const made = await here.exported("sed -i 's/one/mine/' README.md; echo x > new")
  const theirs = here.others('README.md', base.replace('one', 'theirs'))
  const end = await here.ended(here.push(made, { conflicts: 'agent' }))
  assert.deepEqual([end.outcome, end.reason], ['failed', 'conflict'])
  assert.match(
    end.message!,
    /^Others have pushed to errand\/x, and the change now conflicts in "README.md"\./,
  )
  assert.equal(run(here.folder, ['rev-parse', branch]), theirs)
})

test('an agent gets both sides of a conflict, and its resolution is exported', {
  skip,
}, async (t) => {
  const here = await workingPlace(t, base)
  const { start, tip } = await here.exported("sed -i 's/one/mine/' README.md; echo x > new")
  const theirs = here.others('README.md', base.replace('one', 'theirs'))
  const waits = await here.done(here.push({ start, tip }, { conflicts: 'agent', last: false }))
  assert.deepEqual([waits.START_SHA, waits.MOVED, waits.CONFLICTS], [theirs, 'yes', '"README.md"'])
  const args = { ...exportArgs(theirs), mended: true }
  const marked = await here.ended(attemptSpec('git.carry', args))
  assert.equal(marked.reason, 'conflict')
  assert.match(marked.message!, /^Conflict markers are left in "README.md"\./)
  await here.done(command(`test -f new && sed -i '/^<<<<<<< /d;/^=======$/d;/^>>>>>>> /d' README.md`))
  const { TIP_SHA } = await here.done(attemptSpec('git.carry', args))
  await here.done(here.push({ start: theirs, tip: TIP_SHA! }))
  assert.deepEqual(here.subjects(`${theirs}..${branch}`), ['Do it'])
  assert.deepEqual(here.shown(`${branch}:README.md`).split('\n').slice(0, 3), ['theirs', 'mine', 'two'])
  assert.equal(here.shown(`${branch}:new`), 'x')
})

for (const how of ['rebase', 'merge'] as const)
  test(`a base that has moved comes first: ${how}`, { skip }, async (t) => {
    const here = await workingPlace(t, base)
    const made = await here.exported('echo mine > mine')
    const theirs = here.others('theirs', 'theirs\n', 'main')
    const pushed = await here.done(here.push(made, { onto: { ref: 'main', how }, retest: 'touched' }))
    assert.equal(pushed.START_SHA, theirs)
    const subjects =
      how === 'merge' ? [`Merge ${theirs.slice(0, 12)}: main has moved on`, 'Do it'] : ['Do it']
    assert.deepEqual(here.subjects(`${theirs}..${branch}`), subjects)
    assert.equal(here.shown(`${branch}:theirs`), 'theirs')
    assert.equal(here.shown(`${branch}:mine`), 'mine')
  })

test('a token that is refused in the middle of a run is looked up once more', { skip }, async (t) => {
  let token = 'old'
  const here = await workingPlace(t, base, () => ({ token, scope: 'none' }))
  const made = await here.exported('echo x > mine')
  const login = (password: string) => needsLogin({ username: 'x-access-token', password })
  let isPushed = false
  here.host.intercept = (path, ...rest) => {
    // It is changed after the repository was read.
    if (path.includes('receive-pack')) {
      isPushed = true
      token = 'new'
    }
    return login(isPushed ? 'new' : 'old')(path, ...rest)
  }
  const pushed = await here.done(here.push(made))
  assert.equal(run(here.folder, ['rev-parse', branch]), pushed.PUSHED_SHA)
  here.host.intercept = login('another')
  const end = await here.ended(here.push({ ...made, tip: made.tip }))
  assert.deepEqual([end.outcome, end.reason], ['failed', 'repo_auth'])
})

test('work that starts from several merged branches shows only its own change', { skip }, async (t) => {
  const here = await workingPlace(t, base)
  const tips = ['one', 'two', 'three'].map((name) => here.others(name, name, name))
  const made = await here.exported('test -f one && test -f two && test -f three && echo x > mine', [
    ...['one', 'two', 'three'],
  ])
  assert.equal(made.files, '1')
  await here.done(here.push(made))
  const has = run(here.folder, ['log', '--format=%H', branch]).split('\n')
  for (const tip of tips) assert.ok(has.includes(tip))
  // A later try elsewhere has only the repository and what was stored.
  const later = mkdtempSync(join(tmpdir(), 'errand-later-'))
  t.after(() => rmSync(later, { recursive: true, force: true }))
  run(later, ['clone', '-q', '--bare', '--single-branch', '--branch', 'main', here.folder, 'r.git'])
  run(join(later, 'r.git'), ['update-ref', 'refs/heads/main', here.commit])
  run(join(later, 'r.git'), ['index-pack', '--fix-thin', '--stdin'], here.kept.get('checkpoint.pack')!)
  assert.equal(run(join(later, 'r.git'), ['show', `${made.tip}:three`]), 'three')
})

test('branches that cannot be merged are named with their files', { skip }, async (t) => {
  const here = await workingPlace(t, base)
  here.others('README.md', base.replace('one', 'ONE'), 'one')
  here.others('README.md', base.replace('one', 'eins'), 'two')
  const end = await here.ended(attemptSpec('git.workspace', { repo: here.url, join: ['one', 'two'] }))
  assert.deepEqual([end.outcome, end.reason], ['failed', 'conflict'])
  assert.match(
    end.message!,
    /^The branches that this task starts from conflict: "two" conflicts in "README\.md"\./,
  )
})

const tenCommits = (here: WorkingPlace, name: string, to?: string) =>
  Array.from({ length: 10 }, (_, n) => here.others(`${name}${n}`, name, to)).at(-1)!

test('a shallow checkout is put on many commits that others pushed', { skip }, async (t) => {
  const here = await workingPlace(t, base)
  const made = await here.exported('echo mine > mine; git add mine; git commit -qm Mine', [], { depth: 1 })
  const theirs = tenCommits(here, 'theirs')
  const pushed = await here.done(here.push(made, { retest: 'touched' }))
  assert.deepEqual([pushed.START_SHA, pushed.MOVED], [theirs, ''])
  assert.deepEqual(here.subjects(`${theirs}..${branch}`), ['Mine'])
  run(here.folder, ['fsck', '--connectivity-only', '--strict'])
})

for (const how of ['rebase', 'merge'] as const)
  test(`a shallow checkout whose base has moved far: ${how}`, { skip }, async (t) => {
    const here = await workingPlace(t, base)
    const made = await here.exported('echo mine > mine', [], { depth: 1 })
    const theirs = tenCommits(here, 'theirs', 'main')
    const pushed = await here.done(
      here.push(made, { onto: { ref: 'main', how }, retest: 'always', last: false }),
    )
    assert.deepEqual([pushed.START_SHA, pushed.MOVED], [theirs, 'yes'])
    await here.done(command(`test -f mine && test -f theirs9 && git log -3 --oneline && git status --short`))
    const { START_SHA: start, TIP_SHA: tip } = pushed
    await here.done(here.push({ start: start!, tip: tip! }, { onto: { ref: 'main', how } }))
    assert.equal(here.shown(`${branch}:theirs9`), 'theirs')
    assert.equal(here.shown(`${branch}:mine`), 'mine')
    run(here.folder, ['fsck', '--connectivity-only', '--strict'])
  })

test('distant branches are merged in a shallow checkout', { skip }, async (t) => {
  const here = await workingPlace(t, base)
  tenCommits(here, 'one', 'one')
  tenCommits(here, 'two', 'two')
  const made = await here.exported('test -f one9 && test -f two9 && echo x > mine', ['one', 'two'], {
    depth: 1,
  })
  assert.equal(made.files, '1')
  await here.done(here.push(made))
  run(here.folder, ['fsck', '--connectivity-only', '--strict'])
})

test('a branch far from its base is put on it in a shallow checkout', { skip }, async (t) => {
  const here = await workingPlace(t, base)
  tenCommits(here, 'work', branch)
  const moved = tenCommits(here, 'base', 'main')
  const made = await here.exported('test -f work9 && test -f base9 && echo x > mine', [], {
    ...{ depth: 2, branch, rebase: true },
  })
  const expected = run(here.folder, ['rev-parse', branch])
  await here.done(here.push(made, { expected, force: 'lease' }))
  assert.equal(here.subjects(`${moved}..${branch}`).length, 11)
})

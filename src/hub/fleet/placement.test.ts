import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Requirements } from '../../contract/attempt.ts'
import { type Candidate, needKey, runnerKey, workspaceKey } from './matching.ts'
import { choose, type Wishes } from './placement.ts'

const GB = 1024 ** 3
const key = (id: string) => runnerKey('acme', id)
const runner = (id: string, change: Partial<Candidate> = {}): Candidate => ({
  key: runnerKey(change.tenant ?? 'acme', id),
  id,
  tenant: 'acme',
  group: 'default',
  labels: {},
  mode: 'all',
  containers: false,
  slots: 4,
  used: 0,
  cpus: 4,
  freeCpus: change.cpus ?? 4,
  memoryBytes: 8 * GB,
  freeMemoryBytes: change.memoryBytes ?? 8 * GB,
  reserved: false,
  status: 'connected',
  awaited: false,
  finishing: false,
  ...change,
})
const chosen = (requires: Requirements, runners: Candidate[], wishes?: Wishes) =>
  choose({ tenant: 'acme', requires }, new Map(runners.map((each) => [each.key, each])), wishes)
const why = (...args: Parameters<typeof chosen>) => {
  const choice = chosen(...args)
  return choice.type === 'wait' ? choice.why : choice
}

test('chooses the runner with most free slots, the first among equals', () => {
  const runners = [runner('a', { used: 3 }), runner('b', { used: 1 }), runner('c', { used: 1 })]
  assert.deepEqual(chosen({}, runners), { type: 'runner', key: key('b') })
})

test('uses the default group if none is given, unless a runner is named', () => {
  const runners = [runner('a', { group: 'x' })]
  assert.equal(why({}, runners), 'no runner in group "default"')
  assert.deepEqual(chosen({ runner: 'a' }, runners), { type: 'runner', key: key('a') })
})

test('a run stays where its files are, and waits for that runner', () => {
  const runners = [runner('a', { used: 3 }), runner('b')]
  assert.deepEqual(chosen({}, runners, { home: key('a') }), { type: 'runner', key: key('a') })
  const full = [runner('a', { used: 4 }), runner('b')]
  assert.equal(
    why({}, full, { home: key('a') }),
    'runner "a", which has the files of this run, is busy (4 of 4 slots)',
  )
  assert.equal(
    why({ memory_bytes: 2 * GB }, [runner('a', { freeMemoryBytes: GB }), runner('b')], { home: key('a') }),
    'runner "a", which has the files of this run, has less than 2 GB free (1 GB)',
  )
  const gone = [runner('a', { status: 'disconnected' }), runner('b')]
  assert.deepEqual(chosen({}, gone, { home: key('a') }), { type: 'runner', key: key('b') })
})

test('a run waits for the runner with its files while that is expected back, if it would take the step', () => {
  const away = runner('a', { status: 'disconnected', awaited: true })
  assert.equal(
    why({}, [away, runner('b')], { home: key('a') }),
    'runner "a", which has the files of this run, is not connected',
  )
  const elsewhere = { type: 'runner', key: key('b') }
  assert.deepEqual(chosen({}, [away, runner('b')]), elsewhere)
  assert.deepEqual(chosen({ cpus: 8 }, [away, runner('b', { cpus: 8 })], { home: key('a') }), elsewhere)
  assert.deepEqual(chosen({}, [away, runner('b')], { home: key('a'), not: new Set([key('a')]) }), elsewhere)
})

test('a run stays on the drained runner with its files, and other runs go elsewhere', () => {
  const drained = runner('a', { status: 'draining', finishing: true })
  assert.deepEqual(chosen({}, [drained, runner('b')], { home: key('a') }), { type: 'runner', key: key('a') })
  assert.deepEqual(chosen({}, [drained, runner('b')]), { type: 'runner', key: key('b') })
  assert.equal(
    why({}, [{ ...drained, used: 4 }, runner('b')], { home: key('a') }),
    'runner "a", which has the files of this run, is busy (4 of 4 slots)',
  )
})

test('a run goes to a runner with room for its largest step, since it stays there', () => {
  const runners = [runner('a', { cpus: 2 }), runner('b', { cpus: 8, used: 3 })]
  assert.deepEqual(chosen({ cpus: 1 }, runners), { type: 'runner', key: key('a') })
  assert.deepEqual(chosen({ cpus: 1, largest: { cpus: 8 } }, runners), { type: 'runner', key: key('b') })
})

test('says why a step waits', () => {
  const busy = [runner('a', { used: 4 }), runner('b', { used: 4 })]
  assert.equal(why({}, []), 'no runner is connected')
  assert.equal(why({}, [runner('a', { status: 'disconnected' })]), 'no runner is connected')
  assert.equal(why({ group: 'x' }, busy), 'no runner in group "x"')
  assert.equal(why({ labels: { gpu: '1' } }, busy), 'no runner in group "default" has label gpu=1')
  assert.equal(
    why({ labels: { gpu: '1', os: 'mac' } }, busy),
    'no runner in group "default" has labels gpu=1, os=mac',
  )
  assert.equal(why({}, busy), 'all 2 runners of group "default" are busy (8 of 8 slots)')
  assert.equal(why({}, busy.slice(1)), 'runner "b" of group "default" is busy (4 of 4 slots)')
  assert.equal(why({ runner: 'c' }, busy), 'runner "c" is not connected')
  assert.equal(why({ runner: 'a', group: 'x' }, busy), 'no runner in group "x"')
  assert.equal(why({ runner: 'a', labels: { gpu: '1' } }, busy), 'runner "a" does not have label gpu=1')
  const draining = busy.map((each) => ({ ...each, status: 'draining' as const }))
  assert.equal(why({}, draining), 'all 2 runners of group "default" are draining')
  assert.match(
    String(why({ containers: true }, busy)),
    /^no runner in group "default" has a container engine \(start Docker/,
  )
})

test('runners of another tenant are neither used nor mentioned', () => {
  const others = [runner('a', { tenant: 'other' }), runner('b', { tenant: 'third' })]
  assert.equal(why({}, others), 'no runner is connected')
  assert.equal(why({ runner: 'a' }, [...others, runner('c')]), 'runner "a" is not connected')
  assert.deepEqual(chosen({ runner: 'a' }, [...others, runner('a')]), { type: 'runner', key: key('a') })
})

test('a runner takes what its mode is for', () => {
  const chat = [runner('a', { mode: 'chat' })]
  assert.equal(why({}, chat), 'no runner in group "default" has mode all')
  assert.equal(why({ mode: 'issue' }, chat), 'no runner in group "default" has mode issue or all')
  assert.equal(why({ runner: 'a' }, chat), 'runner "a" has mode chat, but mode all is needed')
  assert.deepEqual(chosen({ mode: 'chat' }, chat), { type: 'runner', key: key('a') })
  assert.deepEqual(chosen({ mode: 'issue' }, [...chat, runner('b')]), { type: 'runner', key: key('b') })
})

test('the reason distinguishes steps that no connected runner could ever take from busy runners', () => {
  const small = [runner('a', { cpus: 2 }), runner('b', { cpus: 1, memoryBytes: 32 * GB })]
  assert.equal(why({ cpus: 4 }, small), 'no runner in group "default" offers 4 cpus (most: 2 on "a")')
  assert.equal(
    why({ memory_bytes: 64 * GB }, small),
    'no runner in group "default" offers 64 GB of memory (most: 32 GB on "b")',
  )
  assert.equal(
    why({ cpus: 2, memory_bytes: 16 * GB }, small),
    'no runner in group "default" offers 2 cpus and 16 GB of memory together',
  )
  assert.equal(why({ runner: 'b', cpus: 4 }, small), 'runner "b" offers 1 cpu, but 4 are needed')
  const choice = chosen({ cpus: 4 }, small)
  assert.equal(choice.type === 'wait' && choice.cause, 'none')
})

test('free cpus and memory count, and the reason says what is missing', () => {
  const taken = [
    runner('a', { freeCpus: 1.5, freeMemoryBytes: 0.5 * GB }),
    runner('b', { freeCpus: 0.25, freeMemoryBytes: 1.25 * GB }),
  ]
  const where = 'all 2 runners of group "default"'
  assert.equal(why({ cpus: 2 }, taken), `${where} have less than 2 cpus free (most: 1.5 on "a")`)
  assert.equal(
    why({ memory_bytes: 2 * GB }, taken),
    `${where} have less than 2 GB free (largest: 1.2 GB on "b")`,
  )
  assert.equal(
    why({ cpus: 1, memory_bytes: GB }, taken),
    `${where} are busy: none has a slot, 1 cpu, 1 GB free at the same time`,
  )
  assert.deepEqual(chosen({ cpus: 1.5 }, taken), { type: 'runner', key: key('a') })
  assert.deepEqual(chosen({ memory_bytes: GB }, taken), { type: 'runner', key: key('b') })
  assert.deepEqual(chosen({}, [runner('a', { freeCpus: 0, freeMemoryBytes: 0 })]), {
    type: 'runner',
    key: key('a'),
  })
})

test('a runner that is reserved for a larger step gets nothing else', () => {
  assert.equal(
    why({}, [runner('a', { reserved: true })]),
    'runner "a" of group "default" is reserved for a larger step that has waited longer',
  )
})

test('a step that all runners have rejected is rejected, but waits for runners that may come back', () => {
  const runners = [runner('a')]
  assert.deepEqual(chosen({}, runners, { not: new Set([key('a')]) }), { type: 'rejected' })
  const other = runner('b', { status: 'disconnected' })
  assert.equal(
    why({}, [...runners, other], { not: new Set([key('a')]) }),
    'the connected runners of group "default" rejected it',
  )
})

test('equal requirements have equal keys, whatever the order of labels', () => {
  const key = (requires: Requirements, tenant = 'acme') => needKey({ tenant, requires })
  assert.equal(key({ labels: { a: '1', b: '2' } }), key({ labels: { b: '2', a: '1' } }))
  assert.notEqual(key({ labels: { a: '1' } }), key({ labels: { a: '2' } }))
  assert.notEqual(key({}), key({}, 'other'))
  assert.notEqual(key({ cpus: 1 }), key({ cpus: 2 }))
  assert.equal(workspaceKey({ cpus: 1, group: 'x' }), workspaceKey({ cpus: 2, group: 'x' }))
})

test('a runner provisioned for a run takes only that run; a spare one takes any run that gets its own runner', () => {
  const choiceOf = (run: string | undefined, ...runners: Candidate[]) =>
    choose(
      { tenant: 'acme', requires: {}, ...(run !== undefined && { run }) },
      new Map(runners.map((each) => [each.key, each])),
    )
  const [mine, spare] = [runner('mine', { run: 'run_a' }), runner('spare', { run: null })]
  assert.deepEqual(choiceOf('run_a', mine), { type: 'runner', key: key('mine') })
  assert.deepEqual(choiceOf('run_b', mine, spare), { type: 'runner', key: key('spare') })
  const none = { type: 'wait', cause: 'none', why: 'no runner is connected' }
  assert.deepEqual(choiceOf('run_b', mine), none)
  assert.deepEqual(choiceOf('run_b', { ...mine, status: 'draining' }), none)
  assert.deepEqual(choiceOf(undefined, mine, spare), none, 'bots, and steps for a runner by name')
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Check, ReviewNote } from '../../forge/forge.ts'
import { decideFollow, type FollowFacts, type FollowState, failureOf } from './decide-follow.ts'

const MINUTE = 60_000
const DAY = 86_400_000
const check = (name: string, result: Check['result'], isRequired?: boolean): Check => ({
  ...{ name, result, isRequired, summary: '', url: undefined, log: undefined },
})
const note = (id: string, more: Partial<ReviewNote> = {}): ReviewNote => ({
  ...{ id, author: { id: '1', login: 'ada', isBot: false }, right: 'write', body: 'Please change it' },
  ...{ asksForChanges: true, path: undefined, line: undefined, sha: undefined, createdAt: '' },
  ...more,
})
const state = (more: Partial<FollowState> = {}): FollowState => ({
  ...{ sinceMs: 0, heads: [{ sha: 'one', pushedMs: 0 }], tries: [], notes: [], hasBudget: true },
  ...more,
})
const seen = (more: Partial<FollowFacts> = {}): FollowFacts => ({
  ...{ nowMs: MINUTE, pull: { state: 'open', headSha: 'one', mergeable: true }, checks: [], logs: {} },
  ...{ notes: [], self: { login: 'Errand[bot]' } },
  ...more,
})
const decided = (overrides: Partial<FollowFacts>, more: Partial<FollowState> = {}): string => {
  const intent = decideFollow(state(more), seen(overrides))
  return intent.type === 'stop' ? intent.why : intent.type
}
const failed = [check('unit', 'failed')]

test('a relevant failing check gets a try, as soon as all relevant checks have ended', () => {
  assert.equal(decided({ checks: failed }), 'try')
  assert.equal(decided({ checks: [check('a', 'other'), check('b', 'passed')] }), 'wait')
  assert.equal(decided({ checks: [...failed, check('slow', 'running')] }), 'wait')
  assert.equal(decided({ checks: [...failed, check('slow', 'running')], nowMs: 31 * MINUTE }), 'try')
  assert.equal(decided({ checks: [check('a', 'failed', false), check('b', 'passed', true)] }), 'wait')
  assert.equal(decided({ checks: [check('a', 'failed', true), check('b', 'running', false)] }), 'try')
})

test('comments count if people with write access request changes, or mention Errand', () => {
  const plain = { asksForChanges: false }
  const cases: [ReviewNote, string][] = [
    [note('1'), 'try'],
    [note('1', { right: 'read' }), 'wait'],
    [note('1', { right: 'unknown' }), 'wait'],
    [note('1', { author: { id: '2', login: 'ci', isBot: true } }), 'wait'],
    [note('1', { author: { id: '3', login: 'errand[BOT]', isBot: false } }), 'wait'],
    [note('1', { body: 'state <!-- errand:task -->' }), 'wait'],
    [note('1', plain), 'wait'],
    [note('1', { ...plain, body: 'Well, @errand, do it again' }), 'try'],
    [note('1', { ...plain, body: 'Look, @Errand.' }), 'try'],
    [note('1', { ...plain, body: 'ask @errand-team, a@errand, `@errand`' }), 'wait'],
  ]
  for (const [one, expected] of cases) assert.equal(decided({ notes: [one] }), expected, JSON.stringify(one))
  const heads = [...state().heads, { sha: 'two', pushedMs: 0 }]
  const follow = { heads, tries: [{ sha: 'one', failure: '' }], notes: ['1'] }
  const pull = { ...seen().pull, headSha: 'two' }
  assert.equal(decided({ notes: [note('1')], pull }, follow), 'wait')
  assert.equal(decided({ notes: [note('1'), note('2')], pull }, follow), 'try')
})

test('following ends when a person has to decide', () => {
  const pull = seen().pull
  const ends: [Partial<FollowFacts>, Partial<FollowState>, string][] = [
    [{ pull: { ...pull, state: 'merged' } }, {}, 'merged'],
    [{ pull: { ...pull, state: 'closed' } }, {}, 'closed'],
    [{ pull: { ...pull, headSha: 'theirs' } }, {}, 'pushed'],
    [{ pull: { ...pull, mergeable: false } }, {}, 'conflict'],
    [{ pull: { ...pull, mergeable: undefined } }, {}, 'try'],
    [{ nowMs: 7 * DAY + 1 }, {}, 'too_long'],
    [{}, { hasBudget: false }, 'budget'],
    [{}, { tries: ['x', 'y', 'z'].map((sha) => ({ sha, failure: sha })) }, 'tries'],
    // The forge still shows the commit from before our last push.
    [{}, { heads: [...state().heads, { sha: 'two', pushedMs: 0 }] }, 'wait'],
    [{}, { tries: [{ sha: 'one', failure: 'x' }] }, 'unchanged'],
  ]
  for (const [overrides, more, why] of ends)
    assert.equal(decided({ checks: failed, ...overrides }, more), why)
})

test('recognizes the same failure by its first error, whatever the time', () => {
  const log = (second: number, what: string) =>
    `2026-01-01T00:00:${second}Z start\n12:00:${second} Error: ${what} in ${second} ms at 0a1b2c3d4e${second}\nmore ${second}`
  const before = failureOf(failed, { unit: log(10, 'no b') })
  assert.equal(before, failureOf(failed, { unit: log(59, 'no b') }))
  assert.notEqual(before, failureOf(failed, { unit: log(10, 'no c') }))
  assert.notEqual(before, failureOf([...failed, check('lint', 'failed')], { unit: log(10, 'no b') }))
  const tries = [{ sha: 'zero', failure: before }]
  assert.equal(decided({ checks: failed, logs: { unit: log(30, 'no b') } }, { tries }), 'same_failure')
})

test('whatever forges report, each head has at most one try, a task three, and none without a cause', () => {
  const results = ['running', 'passed', 'failed', 'other'] as const
  const step = fc.record({
    minutes: fc.integer({ min: 0, max: 400 }),
    pushes: fc.boolean(),
    checks: fc.array(
      fc.record({
        name: fc.constantFrom('a', 'b'),
        result: fc.constantFrom(...results),
        isRequired: fc.constantFrom(undefined, true, false),
      }),
      { maxLength: 3 },
    ),
    error: fc.constantFrom('error: x', 'error: y', ''),
    right: fc.constantFrom('none', 'read', 'write', 'admin', 'unknown'),
    isBot: fc.boolean(),
    asksForChanges: fc.boolean(),
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 25 }), (steps) => {
      let now = state()
      let nowMs = 0
      for (const [index, one] of steps.entries()) {
        nowMs += one.minutes * MINUTE
        // Only our own tries push, so nothing needs to be checked until one has.
        if (now.tries.at(-1)?.sha === now.heads.at(-1)!.sha) {
          if (!one.pushes) continue
          now = { ...now, heads: [...now.heads, { sha: `head${index}`, pushedMs: nowMs }] }
        }
        const { right, isBot, asksForChanges } = one
        const author = { id: '1', login: 'ada', isBot }
        const notes = [note(`note${index % 4}`, { author, right, asksForChanges })]
        const checks = one.checks.map(({ name, result, isRequired }) => check(name, result, isRequired))
        const head = now.heads.at(-1)!
        const pull = { ...seen().pull, headSha: head.sha }
        const intent = decideFollow(now, seen({ nowMs, pull, checks, notes, logs: { a: one.error } }))
        if (intent.type === 'stop') return
        if (intent.type === 'wait') continue
        assert.ok(intent.checks.length + intent.notes.length > 0)
        assert.ok(intent.checks.every(({ result }) => result === 'failed'))
        assert.ok(intent.notes.every((each) => !each.author.isBot && /write|admin/.test(each.right)))
        const had = [...now.notes, ...intent.for.notes]
        now = { ...now, tries: [...now.tries, intent.for], notes: had }
        assert.ok(now.tries.length <= 3)
        assert.equal(new Set(now.tries.map(({ sha }) => sha)).size, now.tries.length)
        const failures = now.tries.map(({ failure }) => failure).filter((each) => each !== '')
        assert.equal(new Set(failures).size, failures.length)
        assert.equal(new Set(had).size, had.length)
      }
    }),
    { numRuns: 300 },
  )
})

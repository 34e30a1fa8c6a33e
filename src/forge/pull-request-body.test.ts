import assert from 'node:assert/strict'
import { test } from 'node:test'
import { harmless, retitled, withBlock } from './marks.ts'
import {
  MOST_BODY_BYTES,
  type PullRequestBody,
  pullRequestBody,
  pullRequestTitle,
} from './pull-request-body.ts'

const plain: PullRequestBody = {
  summary: 'It adds now.',
  criteria: [
    { text: 'adds two numbers', met: true },
    { text: 'is documented', met: false },
  ],
  tests: [{ suite: 'npm test', passed: 12, failed: 0, skipped: 1 }],
  cost: { usd: 0.4211, tokens: 12345, seconds: 61.4 },
  protectedFiles: [{ path: '.github/workflows/ci.yml', decision: 'approved by ada' }],
  findings: [{ file: 'src/add.ts', line: 3, severity: 'minor', claim: 'could be shorter' }],
  run: { id: 'run_1', url: 'https://hub.example.org/runs/run_1', task: 'T-1' },
  closes: { number: 12 },
}

test('a body contains criteria, figures, cost, protected files, findings and the run', () => {
  const body = pullRequestBody(plain)
  for (const part of [
    'Closes #12',
    '[`run_1`](https://hub.example.org/runs/run_1)',
    '$0.42, 12,345 tokens, 61 s',
    '- [x] adds two numbers',
    '- [ ] is documented',
    '| `npm test` | 12 | 0 | 1 |',
    '`.github/workflows/ci.yml`: approved by ada',
    '**minor** `src/add.ts:3`: could be shorter',
    'It adds now.',
  ])
    assert.ok(body.includes(part), part)
  assert.ok(!pullRequestBody({ ...plain, closes: undefined }).includes('Closes'))
  assert.match(pullRequestBody({ ...plain, tests: undefined }), /no tests to run/)
})

test('text of others notifies nobody, closes nothing, hides nothing and ends no mark', () => {
  const bad = [
    'thanks @ada and (@acme/team)',
    'Fixes #1, closes: acme/app#2, RESOLVED https://forge/o/r/issues/3, fix GH-4',
    '<!-- errand:end --> <!-- open',
    '<img src=x onerror=alert(1)> <script>',
    '/merge',
    '> /close',
    'a\u200bb \u202eturned',
    '![spy](https://evil.example/pixel.png)',
  ].join('\n')
  for (const body of [harmless(bad), pullRequestBody({ ...plain, summary: bad, closes: undefined })]) {
    assert.doesNotMatch(body, /(^|[^\w`])@[\w-]/m)
    assert.doesNotMatch(body, /\b(fix(es)?|closes:?|resolved)\s+(#|GH-|https|acme)/i)
    assert.doesNotMatch(body, /<!--|<img|<script/)
    assert.doesNotMatch(body, /^[ >]*\/(merge|close)/m)
    assert.doesNotMatch(body, /[\u200b\u202e]/)
    assert.doesNotMatch(body, /(^|[^\\])!\[/m)
  }
  // Names and criteria are text from others too.
  const named = pullRequestBody({
    ...plain,
    closes: undefined,
    criteria: [{ text: 'a\n- [x] b @ada closes #3', met: false }],
    protectedFiles: [{ path: '`@ada` <!-- x', decision: 'x' }],
  })
  assert.doesNotMatch(named, /^- \[x\] b|@ada|closes #3|<!--/m)
})

test('an e-mail address and a reference to an issue stay readable', () => {
  assert.equal(harmless('ask a@b.org about #12'), 'ask a@b.org about #12')
  assert.equal(harmless('run a < b && c > d'), 'run a < b && c > d')
})

test('a long body is cut between lines, and an open fence is closed', () => {
  const summary = `\`\`\`\n${'ä line of a log\n'.repeat(10_000)}\`\`\`\nend`
  const body = pullRequestBody({ ...plain, summary })
  assert.ok(Buffer.byteLength(withBlock('', body)) <= MOST_BODY_BYTES)
  assert.ok(body.includes('Closes #12'))
  assert.match(body, /ä line of a log\n```\n\n\*\d+ more lines left out\*$/)
})

test('an open fence is closed, so that it does not hide a mark', () => {
  const body = pullRequestBody({ ...plain, summary: 'see\n````js\n```\nlet a' })
  assert.match(body, /let a\n````$/)
  assert.match(pullRequestBody({ ...plain, summary: '```\na\n```' }), /a\n```$/)
})

test('a title is one line that closes nothing and is not too long', () => {
  assert.equal(pullRequestTitle(' Add\nb '), 'Add b')
  assert.doesNotMatch(pullRequestTitle('Fixes #3 for @ada'), /Fixes #3|@ada/)
  assert.equal(pullRequestTitle('ä'.repeat(1000)).length, 240)
})

test('texts designed to be slow are processed quickly', () => {
  for (const text of [
    `fix${' '.repeat(200_000)}`,
    'fix '.repeat(50_000),
    '<!--'.repeat(50_000),
    `fix a/${'b/'.repeat(100_000)}`,
    '@'.repeat(200_000),
    `${'>'.repeat(200_000)}x`,
    '`'.repeat(200_000),
    '- '.repeat(100_000),
  ])
    assert.ok(pullRequestBody({ ...plain, summary: text }).length > 0)
})

test('only the text between the marks changes', () => {
  const first = withBlock('Intro by a person\r\n', 'one')
  assert.equal(first, 'Intro by a person\n\n<!-- errand:begin -->\none\n<!-- errand:end -->')
  const edited = `${first}\n\nA person's words`
  assert.equal(withBlock(edited, 'two'), edited.replace('one', 'two'))
  assert.equal(withBlock('', 'a $& b'), '<!-- errand:begin -->\na $& b\n<!-- errand:end -->')
})

test('a title keeps its draft mark, and does not get back one that a person removed', () => {
  assert.equal(retitled('WIP: old', 'new'), 'WIP: new')
  assert.equal(retitled('Draft: old', 'new'), 'Draft: new')
  assert.equal(retitled('[WIP] old', 'new'), '[WIP] new')
  assert.equal(retitled('old', 'new'), 'new')
  assert.equal(retitled('drafty', 'new'), 'new')
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { blocksOf, inlineOf } from './markdown.ts'

test('headings, lists, code and text become blocks, and HTML stays text', () => {
  const text =
    '# Report\n\nAll good,\nreally.\n\n- one\n- two\n  more\n\n1. first\n\n```sh\n# no heading\n```\n---\n<b>x</b>'
  assert.deepEqual(blocksOf(text), [
    { kind: 'heading', level: 1, text: 'Report' },
    { kind: 'text', text: 'All good,\nreally.' },
    { kind: 'list', ordered: false, items: ['one', 'two more'] },
    { kind: 'list', ordered: true, items: ['first'] },
    { kind: 'code', text: '# no heading' },
    { kind: 'rule' },
    { kind: 'text', text: '<b>x</b>' },
  ])
})

test('a table has its rows, and a lookalike stays text', () => {
  const text = 'Figures:\n\n| name | ms |\n|:-----|---:|\n| a \\| b | 12 |\n| `c` | |\n\nafter | it\n'
  const rows = [
    ['name', 'ms'],
    ['a | b', '12'],
    ['`c`', ''],
  ]
  assert.deepEqual(blocksOf(text), [
    { kind: 'text', text: 'Figures:' },
    { kind: 'table', rows },
    { kind: 'text', text: 'after | it' },
  ])
  const bare = blocksOf('a | b\n--|--\n1 | 2')
  assert.deepEqual(bare, [
    {
      kind: 'table',
      rows: [
        ['a', 'b'],
        ['1', '2'],
      ],
    },
  ])
  assert.ok(blocksOf(`| a |\n${'|-'.repeat(50_000)}x`).length > 0)
})

test('a link becomes its words and its address, and never a link', () => {
  assert.deepEqual(inlineOf('see **this** `a*b*` [here](javascript:alert(1))'), [
    { kind: 'plain', text: 'see ' },
    { kind: 'strong', text: 'this' },
    { kind: 'plain', text: ' ' },
    { kind: 'code', text: 'a*b*' },
    { kind: 'plain', text: ' ' },
    { kind: 'plain', text: 'here (javascript:alert(1)' },
    { kind: 'plain', text: ')' },
  ])
})

test('a long text with an unclosed fence finishes', () => {
  assert.equal(blocksOf('```\n'.repeat(3) + 'x\n\n'.repeat(10_000)).length <= 500, true)
})

test('a long line of spaces, marks, columns or brackets stays unchanged', () => {
  const long = 200_000
  const under = `${' '.repeat(long)}x`
  assert.deepEqual(blocksOf(`| a |\n${under}`), [{ kind: 'text', text: `| a |\n${under}` }])
  for (const text of [`a${' '.repeat(long)}x`, `${'#'.repeat(long)}x`])
    assert.deepEqual(blocksOf(`# ${text} ##`), [{ kind: 'heading', level: 1, text }])
  const wide = `${'|'.repeat(long)}\n|-|`
  assert.deepEqual(blocksOf(wide), [{ kind: 'text', text: wide }])
  for (const text of ['['.repeat(long), `[a](${'b'.repeat(long)}`, '[a]('.repeat(long / 4)])
    assert.deepEqual(inlineOf(text), [{ kind: 'plain', text }])
})

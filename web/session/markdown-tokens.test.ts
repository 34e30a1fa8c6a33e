import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Token } from 'marked'
import { tokensOf } from './markdown-tokens.ts'

type Nested = Token & { tokens?: Token[]; items?: Token[] }

/** Returns how deep tokens are nested. */
function depthOf(tokens: readonly Token[]): number {
  let depth = 0
  for (let level = [...tokens] as Nested[]; level.length > 0; depth++)
    level = level.flatMap(({ tokens = [], items = [] }) => [...tokens, ...items] as Nested[])
  return depth
}

test('deeply nested marks give limited nesting, and all words remain', () => {
  const nests = ['> ', '- ', '1. ', '- > ', '> 1. ', '**a *b ', '[', '![', '~~a **b ', '*', '_']
  for (const mark of nests) {
    const tokens = tokensOf(`${mark.repeat(5000)}the end`)
    assert.ok(depthOf(tokens) <= 50, `${mark}: ${depthOf(tokens)}`)
    assert.match(JSON.stringify(tokens), /the end/)
  }
  const lists = Array.from({ length: 300 }, (_, level) => `${'  '.repeat(level)}- level ${level}`)
  const tokens = tokensOf(lists.join('\n'))
  assert.ok(depthOf(tokens) <= 50)
  assert.match(JSON.stringify(tokens), /level 299/)
})

test('ordinary text is parsed as before', () => {
  const [quote, list] = tokensOf('> > twice\n\n- one\n  - two\n    - **three**\n').filter(
    ({ type }) => type !== 'space',
  )
  assert.equal((quote as Nested).tokens?.[0]?.type, 'blockquote')
  const types = JSON.stringify(list)
  assert.match(types, /"type":"strong"/)
  assert.equal(types.match(/"type":"list"/g)?.length, 3)
})

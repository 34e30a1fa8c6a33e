import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { createMasker } from '../../src/runner/masking/masker.ts'
import { isHere, type Program, programs, RECORDED, texts, textsFor, written } from './programs.ts'
import { assertEverySplit } from './splits.ts'

const recorded = JSON.parse(readFileSync(RECORDED, 'utf8')) as Record<string, Record<string, string>>
/**
 * Texts with quotes of all kinds, line breaks, non-ASCII and control characters. Each program is started for each of
 * them.
 */
const revealing = new Set([4, 7, 8, 12].map((index) => texts[index]!))

/** Asserts that only signs, and what the program always writes, are left of the output. */
function assertMasked(secret: string, output: string, { frame = [] }: Program): void {
  const masker = createMasker([secret])
  const masked = masker.maskText(output)
  const rest = frame.reduce((text, part) => text.replaceAll(part, ''), masked)
  const message = `${JSON.stringify(secret)}: ${JSON.stringify(output)} became ${JSON.stringify(masked)}`
  assert.ok(masked.includes('***'), message)
  assert.doesNotMatch(rest, /[\p{L}\p{N}]/u, message)
  assertEverySplit(masker, Buffer.from(output), Buffer.from(masked), [3])
}

for (const [name, program] of Object.entries(programs)) {
  test(`a secret is masked as this program once wrote it: ${name}`, () => {
    const outputs = Object.entries(recorded[name] ?? {})
    assert.deepEqual(
      outputs.map(([text]) => text),
      textsFor(program),
    )
    for (const [text, output] of outputs) assertMasked(text, output, program)
  })
  if (program.compiled) continue
  test(`a secret is masked as this program writes it here: ${name}`, (t) => {
    if (!isHere(program)) return t.skip(`${program.needs} is not installed`)
    for (const text of textsFor(program).filter((text) => revealing.has(text)))
      assertMasked(text, written(program, text), program)
  })
}

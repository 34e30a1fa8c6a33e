import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import { createMasker } from '../../src/runner/masking/masker.ts'
import { sized } from '../support/size.ts'
import { type MaskingCase, maskingCase } from './random-texts.ts'
import { assertEverySplit } from './splits.ts'
import { maskWholeText } from './whole-text.ts'

/** The number of texts whose pieces come in random order, each tried in every split. */
const CASES = sized('random texts', 30_000, 200_000)

interface CorpusFile {
  /** Seeds of fast-check that should be tried again. */
  seeds?: number[]
  cases?: { name: string; secrets: string[]; text: string; masked: string }[]
}

const corpus = join(import.meta.dirname, 'corpus')
const files = readdirSync(corpus).map(
  (name) => JSON.parse(readFileSync(join(corpus, name), 'utf8')) as CorpusFile,
)

function tryEverySplit({ secrets, text }: MaskingCase): number {
  return assertEverySplit(
    createMasker(secrets),
    text,
    maskWholeText(secrets.filter(isMaskable), text),
    [2, 3, 7],
  )
}

const isMaskable = (secret: string) => createMasker([secret]).warnings.length === 0

test('every stored case is masked as it says, in every split', () => {
  for (const { name, secrets, text, masked } of files.flatMap((file) => file.cases ?? [])) {
    const bytes = Buffer.from(text)
    assert.equal(maskWholeText(secrets.filter(isMaskable), bytes).toString(), masked, name)
    assertEverySplit(createMasker(secrets), bytes, Buffer.from(masked), [2, 3, 7])
  }
})

test('a stream is masked like the whole text, in every split of at least 200,000 cases', (t) => {
  let cases = 0
  let masked = 0
  const run = (numRuns: number, seed?: number) =>
    fc.assert(
      fc.property(maskingCase, (each) => {
        cases += tryEverySplit(each)
        masked += maskWholeText(each.secrets.filter(isMaskable), each.text).equals(each.text) ? 0 : 1
      }),
      { numRuns, seed },
    )
  for (const seed of files.flatMap((file) => file.seeds ?? [])) run(50, seed)
  let runs = 0
  for (; cases < CASES; runs++) run(100)
  t.diagnostic(`${cases} cases; ${masked} texts held a secret`)
  assert.ok(masked > runs * 20, 'the random texts contain too few secrets to prove anything')
})

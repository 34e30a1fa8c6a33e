import { ResultFault, Tally } from './figures.ts'

const MAX_LINE = 64 * 1024
const testLine = /^(not )?ok(?=\s|$)/

/**
 * Reads TAP 12 to 14 in pieces: call `write` for all of it, then `end`. Counts tests at the outermost level: subtests
 * count through the test that they belong to. A plan that was not met is a failed test of its own. Both throw
 * `ResultFault`.
 */
export class TapReader {
  readonly #tally: Tally
  readonly notes: string[] = []
  #rest = ''
  #line = 0
  /** The open YAML block. */
  #yaml: { indent: string; isOutermost: boolean; line: number } | undefined
  /** Kind of the test in the line before, to which a YAML block belongs. */
  #last: 'outermost' | 'inner' | undefined
  #hasVersion = false
  #seen = 0
  #planned: number | undefined
  #bailed: string | undefined

  /** `suite` is the name, since TAP gives none. */
  constructor(suite: string) {
    this.#tally = new Tally(suite)
  }

  write(text: string): void {
    let from = 0
    for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', from)) {
      this.#keep(text, from, at)
      this.#endLine()
      from = at + 1
    }
    this.#keep(text, from, text.length)
  }

  end(): Tally {
    if (this.#rest !== '') this.#endLine()
    // Other programs also write lines such as "ok example.com/x 0.01s".
    if (!this.#hasVersion && this.#planned === undefined && this.#bailed === undefined)
      throw new ResultFault('It contains neither TAP nor JUnit XML.')
    if (this.#yaml)
      throw new ResultFault(`The TAP is cut off in a YAML block that begins in line ${this.#yaml.line}.`)
    this.#judgePlan()
    return this.#tally
  }

  /** Stores only the beginning of a line, which is enough. */
  #keep(text: string, from: number, to: number): void {
    const room = MAX_LINE - this.#rest.length
    if (room > 0) this.#rest += text.slice(from, Math.min(to, from + room))
  }

  #endLine(): void {
    const line = this.#rest.replace(/\r$/, '')
    this.#rest = ''
    this.#line++
    if (this.#yaml) this.#takeYaml(line, this.#yaml)
    else this.#take(line)
  }

  #takeYaml(line: string, { indent, isOutermost }: { indent: string; isOutermost: boolean }): void {
    if (line.startsWith(`${indent}...`) && line.trim() === '...') this.#yaml = undefined
    else if (isOutermost) {
      const found = /^\s+duration_ms:\s*(\d+(?:\.\d+)?)$/.exec(line.slice(0, 100))
      if (found) this.#tally.took(Number(found[1]))
    }
  }

  #take(line: string): void {
    const before = this.#last
    this.#last = undefined
    if (line === '') return
    const text = line.trimStart()
    const indent = line.slice(0, line.length - text.length)
    if (before && indent !== '' && text.trimEnd() === '---') {
      this.#yaml = { indent, isOutermost: before === 'outermost', line: this.#line }
    } else if (/^Bail out!/i.test(text)) {
      this.#bailed ??= text.slice('Bail out!'.length).trim()
    } else if (indent !== '') {
      if (testLine.test(text)) this.#last = 'inner'
    } else this.#takeOutermost(text)
  }

  #takeOutermost(text: string): void {
    const version = /^TAP version (\d{1,9})\s*$/i.exec(text)?.[1]
    const plan = /^1\.\.(\d{1,9})(?=\s|$)/.exec(text)?.[1]
    const duration = /^# duration_ms (\d{1,15}(?:\.\d+)?)$/.exec(text)?.[1]
    if (testLine.test(text)) this.#takeTest(text)
    else if (plan !== undefined) this.#takePlan(Number(plan))
    else if (duration !== undefined) this.#tally.durationMs = Number(duration)
    else if (version !== undefined) {
      if (!['12', '13', '14'].includes(version))
        throw new ResultFault(`It is TAP version ${version}, but only versions 12 to 14 are supported.`)
      this.#hasVersion = true
    }
  }

  #takePlan(count: number): void {
    if (this.#planned === undefined) this.#planned = count
    else {
      this.notes.push(`Line ${this.#line} contains a second plan, 1..${count}.`)
      this.#tally.add('failed', `plan 1..${this.#planned}, and later 1..${count}`)
    }
  }

  #takeTest(text: string): void {
    const isOk = text.startsWith('ok')
    const { description, directive } = partsOf(text.slice(isOk ? 2 : 6).trim())
    this.#seen++
    this.#last = 'outermost'
    const [, number, name = ''] = /^(\d{1,9}(?=\s|$))?(.*)$/s.exec(description)!
    const bare = name
      .trimStart()
      .replace(/^-(?=\s|$)/, '')
      .trim()
    const isSkipped = directive === 'skip' || (directive === 'todo' && !isOk)
    this.#tally.add(
      isSkipped ? 'skipped' : isOk ? 'passed' : 'failed',
      bare === '' ? `test ${number ?? this.#seen}` : bare.replace(/\\([\\#])/g, '$1'),
    )
  }

  #judgePlan(): void {
    if (this.#bailed !== undefined) {
      const why = this.#bailed === '' ? '' : `: ${this.#bailed.slice(0, 300)}`
      this.#tally.add('failed', `Bail out!${why}`)
      this.notes.push(`The tests gave up${why}.`)
      return
    }
    if (this.#planned === this.#seen) {
      if (this.#planned === 0) this.notes.push('The plan is 1..0: no tests to run.')
      return
    }
    const countText = `${this.#seen} ${this.#seen === 1 ? 'test is' : 'tests are'} reported`
    const plan = this.#planned === undefined ? undefined : `1..${this.#planned}`
    this.#tally.add('failed', `${plan === undefined ? 'no plan' : `plan ${plan}`}, but ${countText}`)
    this.notes.push(
      plan === undefined
        ? `There is no plan, so tests may be missing: ${countText}.`
        : `The plan is ${plan}, but ${countText}.`,
    )
  }
}

/** Splits the text after `ok` at its directive: an unescaped `#` with TODO or SKIP. */
function partsOf(text: string): { description: string; directive?: 'todo' | 'skip' } {
  const pattern = /#\s{0,20}(todo|skip)/iy
  for (let at = text.indexOf('#'); at >= 0; at = text.indexOf('#', at + 1)) {
    if (text[at - 1] === '\\') continue
    pattern.lastIndex = at
    const found = pattern.exec(text)?.[1]?.toLowerCase()
    if (found === 'todo' || found === 'skip') return { description: text.slice(0, at), directive: found }
  }
  return { description: text }
}

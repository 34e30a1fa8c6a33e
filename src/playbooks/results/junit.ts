import sax from 'sax'
import { ResultFault, Tally } from './figures.ts'

const MAX_DEPTH = 100
const MAX_ATTRIBUTES = 200
const MAX_WRITE = 16 * 1024
const MAX_LONG_TEXT = 1000

/** Elements of a `testcase` that give its outcome. */
const FAILED = ['failure', 'error']
/** Elements for tries that did not count: without a failure beside them, a later one passed. */
const TRIED_AGAIN = ['flakyFailure', 'flakyError', 'rerunFailure', 'rerunError', 'rerun']

/** Allows no entities but those of XML itself; the types lack the second option. */
const options = { position: true, strictEntities: true } as sax.SAXOptions

interface Case {
  depth: number
  name: string
  failed: boolean
  skipped: boolean
  todo: boolean
  again: boolean
}

/**
 * Reads JUnit XML in pieces: call `write` for all of it, then `end`. Counts cases, and ignores the totals in a suite's
 * attributes. Both throw `ResultFault`.
 */
export class JunitReader {
  readonly #tally: Tally
  readonly #parser = sax.parser(true, options)
  readonly #suites: { depth: number; name: string }[] = []
  readonly #cases: Case[] = []
  #depth = 0
  #roots = 0
  #attributes = 0
  #suitesOfRoot = 0
  #casesOfRoot = 0
  #rootName = ''
  #suiteName = ''

  /** `suite` is the name if the file gives none. */
  constructor(suite: string) {
    this.#tally = new Tally(suite)
    const parser = this.#parser
    const refuseType = () => {
      throw new ResultFault('The XML declares a document type, which is not supported.')
    }
    parser.onerror = (error) => this.#failed(error)
    parser.ondoctype = refuseType
    parser.onsgmldeclaration = refuseType
    parser.onopentagstart = () => {
      this.#attributes = 0
    }
    parser.onattribute = () => {
      if (++this.#attributes > MAX_ATTRIBUTES)
        throw new ResultFault(`An element of the XML has more than ${MAX_ATTRIBUTES} attributes.`)
    }
    parser.onopentag = ({ name, attributes }) => this.#open(name, attributes as Record<string, string>)
    parser.onclosetag = () => this.#close()
  }

  write(text: string): void {
    // The parser checks the length of its buffer once in each write.
    for (let at = 0; at < text.length; at += MAX_WRITE) this.#parser.write(text.slice(at, at + MAX_WRITE))
  }

  end(): Tally {
    this.#parser.close()
    if (this.#roots === 0) throw new ResultFault('The XML contains no element.')
    const only = this.#suitesOfRoot === 1 && this.#casesOfRoot === 0 ? this.#suiteName : ''
    const name = this.#rootName === '' ? only : this.#rootName
    if (name !== '') this.#tally.suite = name
    return this.#tally
  }

  #failed(error: Error): void {
    const [what = ''] = error.message.split('\n', 1)
    if (/^Max buffer length exceeded: (attribValue|comment)$/.test(what)) {
      // The long message of a failure is not used, and the beginning of a name is enough.
      const parser = this.#parser as unknown as { error: Error | null; attribValue: string; comment: string }
      parser.error = null
      parser.attribValue = parser.attribValue.slice(0, MAX_LONG_TEXT)
      parser.comment = ''
      return
    }
    if (/^Max buffer length exceeded: (doctype|sgmlDecl)$/.test(what))
      throw new ResultFault('The XML declares a document type, which is not supported.')
    const line = this.#parser.line + 1
    if (/^Unclosed root tag|^Unexpected end/.test(what))
      throw new ResultFault(`The XML is cut off in line ${line}, after ${this.#tally.count} tests.`)
    throw new ResultFault(`It is not valid XML: ${what.slice(0, 100).replace(/\.+$/, '')} (line ${line}).`)
  }

  #open(name: string, attributes: Record<string, string>): void {
    if (++this.#depth > MAX_DEPTH)
      throw new ResultFault(`The elements of the XML are nested more than ${MAX_DEPTH} deep.`)
    if (this.#depth === 1) this.#root(name)
    const current = this.#cases.at(-1)
    if (name === 'testsuite' || name === 'testsuites') this.#openSuite(attributes.name ?? '')
    else if (name === 'testcase') this.#openCase(attributes)
    else if (current && this.#depth === current.depth + 1) {
      current.failed ||= FAILED.includes(name)
      current.skipped ||= name === 'skipped'
      // Node writes a failure beside it.
      current.todo ||= name === 'skipped' && attributes.type === 'todo'
      current.again ||= TRIED_AGAIN.includes(name)
    }
  }

  #root(name: string): void {
    if (++this.#roots > 1) throw new ResultFault('The XML has more than one root element.')
    if (name !== 'testsuites' && name !== 'testsuite')
      throw new ResultFault(
        `It is not JUnit XML: its root is <${name.slice(0, 60)}>, not <testsuites> or <testsuite>.`,
      )
  }

  #openSuite(name: string): void {
    this.#suites.push({ depth: this.#depth, name })
    if (this.#depth === 1) this.#rootName = name
    if (this.#depth !== 2) return
    this.#suitesOfRoot++
    this.#suiteName = name
  }

  #openCase({ name = '', classname = '', time = '' }: Record<string, string>): void {
    // Node calls the class of all tests "test".
    const inside = classname === 'test' ? '' : classname
    const group = inside === '' && this.#suites.length > 1 ? this.#suites.at(-1)!.name : inside
    const full = group === '' || name.startsWith(group) ? name : `${group} › ${name}`
    this.#cases.push({
      depth: this.#depth,
      name: full,
      failed: false,
      skipped: false,
      todo: false,
      again: false,
    })
    if (this.#depth === 2) this.#casesOfRoot++
    if (time.trim() !== '') this.#tally.took(Number(time.replaceAll(',', '')) * 1000)
  }

  #close(): void {
    const current = this.#cases.at(-1)
    if (current?.depth === this.#depth) {
      this.#cases.pop()
      const { name, failed, skipped, todo, again } = current
      const outcome = todo ? 'skipped' : failed ? 'failed' : skipped ? 'skipped' : again ? 'flaky' : 'passed'
      this.#tally.add(outcome, name)
    }
    if (this.#suites.at(-1)?.depth === this.#depth) this.#suites.pop()
    this.#depth--
  }
}

import { ErrandError, messageOf } from '../contract/errors.ts'
import { isCredentialName } from '../contract/names.ts'
import { globPattern } from '../platform/untrusted-input.ts'

/** A condition of a playbook's step, parsed. `name` is a dotted name, split into its parts. */
export type Condition =
  | { type: 'or' | 'and'; terms: Condition[] }
  | { type: 'not'; term: Condition }
  | { type: 'compare'; operator: Comparison; left: Operand; right: Operand }
  | { type: 'test'; operand: Operand }
export type Operand =
  | { type: 'name'; path: string[] }
  | { type: 'changed'; glob: string }
  | { type: 'constant'; value: string | number | boolean | null }
export type Comparison = '==' | '!=' | '<' | '<=' | '>' | '>='

const maxDepth = 100
const maxLength = 10_000
const MAX_GLOB = 500

/**
 * Parses a condition:
 *
 *     or    := and (("||" | "or") and)*
 *     and   := not (("&&" | "and") not)*
 *     not   := ["!" | "not"] term
 *     term  := "(" or ")" | value [("==" | "!=" | "<" | "<=" | ">" | ">=") value]
 *     value := name("."name)* | changed("glob") | "text" | 'text' | number | true | false | null
 *
 * Throws `invalid_playbook`; `details.column` is where, from 1, within the text.
 */
export function parseCondition(text: string): Condition {
  if (text.length > maxLength)
    throw mistake(`the condition has ${text.length} characters`, 0, `at most ${maxLength} are allowed`)
  return new Parser(readTokens(text), text.length).whole()
}

type Token = { written: string; at: number } & (
  | { type: 'sign' }
  | { type: 'name' }
  | { type: 'constant'; value: string | number | boolean | null }
)

const space = /\s+/y
const sign = /&&|\|\||[=!<>]=|[!()<>]/y
const nameToken = /[A-Za-z_][\w-]*(?:\.[A-Za-z0-9_][\w-]*)*/y
const numberToken = /[+-]?(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][+-]?\d+)?(?![\w.])/y
const textToken = /"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'/sy
const comparison = /^([=!<>]=|[<>])$/

const constants: Readonly<Record<string, boolean | null>> = { true: true, false: false, null: null }
const words: Readonly<Record<string, string>> = { and: '&&', or: '||', not: '!' }

/** Splits a condition into tokens. `and`, `or` and `not` become the operators that they mean. */
function readTokens(text: string): Token[] {
  const tokens: Token[] = []
  let at = 0
  const read = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = at
    return pattern.exec(text)
  }
  while (at < text.length) {
    const blank = read(space)
    if (blank) {
      at += blank[0].length
      continue
    }
    const found = read(sign) ?? read(textToken) ?? read(numberToken) ?? read(nameToken)
    if (!found) throw unreadable(text, at)
    const [written] = found
    tokens.push(tokenOf(written, at, found))
    at += written.length
  }
  return tokens
}

function tokenOf(written: string, at: number, found: RegExpExecArray): Token {
  if (/^["']/.test(written)) {
    const text = (found[1] ?? found[2] ?? '').replace(/\\(["'\\])/g, '$1')
    return { type: 'constant', value: text, written, at }
  }
  if (Object.hasOwn(words, written)) return { type: 'sign', written: words[written]!, at }
  if (Object.hasOwn(constants, written)) return { type: 'constant', value: constants[written]!, written, at }
  if (/^[A-Za-z_]/.test(written)) return { type: 'name', written, at }
  if (/^[-+.\d]/.test(written)) return { type: 'constant', value: Number(written), written, at }
  return { type: 'sign', written, at }
}

function unreadable(text: string, at: number): ErrandError {
  const character = String.fromCodePoint(text.codePointAt(at)!)
  if (character === '"' || character === "'")
    return mistake('a quote is not closed', at, `end the text with ${character}`)
  if (character === '=') return mistake('"=" is not an operator', at, 'write ==')
  if (character === '&' || character === '|')
    return mistake(`"${character}" is not an operator`, at, `write ${character}${character}`)
  if (character === '$')
    return mistake('a name cannot begin with "$"', at, 'write only the name: lint_enabled, or env.CI')
  return mistake(`${JSON.stringify(character)} is not expected here`, at, 'put text in quotes')
}

class Parser {
  readonly #tokens: readonly Token[]
  readonly #length: number
  #at = 0
  #depth = 0

  constructor(tokens: readonly Token[], length: number) {
    this.#tokens = tokens
    this.#length = length
  }

  whole(): Condition {
    if (this.#tokens.length === 0)
      throw this.#mistake('the condition is empty', 'write one, such as lint_enabled == true, or remove it')
    const condition = this.#or()
    const rest = this.#tokens[this.#at]
    if (rest === undefined) return condition
    if (rest.type !== 'sign')
      throw this.#mistake(`expected && or || before ${rest.written}`, betweenHint(rest.written))
    throw this.#mistake(
      `${rest.written} is not expected here`,
      comparison.test(rest.written)
        ? 'compare two values at a time; join comparisons with && or ||'
        : 'check the parentheses',
    )
  }

  #or(): Condition {
    return this.#joined('or', '||', () => this.#joined('and', '&&', () => this.#not()))
  }

  #joined(type: 'or' | 'and', expected: string, part: () => Condition): Condition {
    const terms = [part()]
    while (this.#take(expected)) terms.push(part())
    return terms.length === 1 ? terms[0]! : { type, terms }
  }

  #not(): Condition {
    return this.#take('!') ? { type: 'not', term: this.#term() } : this.#term()
  }

  #term(): Condition {
    if (!this.#take('(')) return this.#comparison()
    if (++this.#depth > maxDepth)
      throw this.#mistake('the condition is nested too deeply', `at most ${maxDepth} levels`)
    const inner = this.#or()
    if (!this.#take(')')) {
      const found = this.#tokens[this.#at]
      throw found === undefined
        ? this.#mistake('a ")" is missing', 'close the parenthesis')
        : this.#mistake(`expected ")", but found ${found.written}`, betweenHint(found.written))
    }
    this.#depth--
    return inner
  }

  #comparison(): Condition {
    const left = this.#operand()
    const token = this.#tokens[this.#at]
    if (token?.type !== 'sign' || !comparison.test(token.written)) return { type: 'test', operand: left }
    this.#at++
    return { type: 'compare', operator: token.written as Comparison, left, right: this.#operand() }
  }

  #operand(): Operand {
    const token = this.#tokens[this.#at]
    if (token === undefined || token.type === 'sign') {
      const hint =
        token?.written === '!'
          ? 'put a second "not" in parentheses: !(!ready)'
          : 'a value is a name, "text", a number, true, false or null'
      throw this.#mistake(
        `expected a value, but ${token ? `found ${token.written}` : 'the condition ends'}`,
        hint,
      )
    }
    if (token.type === 'constant') {
      this.#at++
      return { type: 'constant', value: token.value }
    }
    const next = this.#tokens[this.#at + 1]
    if (next?.type === 'sign' && next.written === '(') return this.#call(token)
    const path = token.written.split('.')
    if (path[0] === 'env' && path.length === 2 && isCredentialName(path[1]!))
      throw this.#mistake(
        `env.${path[1]} is a credential, and conditions cannot read credentials`,
        'remove it: steps do not get credentials of the platform either',
      )
    if (path.length === 1 && path[0] === 'changed')
      throw this.#mistake('changed needs a glob', 'write changed("src/**")')
    this.#at++
    return { type: 'name', path }
  }

  /** Parses `changed("glob")`, the only function. */
  #call(name: Token): Operand {
    if (name.written !== 'changed')
      throw this.#mistake(`unknown function ${name.written}()`, 'the only function is changed("glob")')
    const [glob, end] = [this.#tokens[this.#at + 2], this.#tokens[this.#at + 3]]
    this.#at += 2
    if (glob?.type !== 'constant' || typeof glob.value !== 'string' || glob.value === '')
      throw this.#mistake('changed takes a glob in quotes', 'write changed("src/**")')
    const fault = globFault(glob.value)
    if (fault !== undefined)
      throw this.#mistake(
        `${glob.written} is not a valid glob: ${fault}`,
        'write it as in changed("src/**/*.ts")',
      )
    this.#at++
    if (end?.type !== 'sign' || end.written !== ')')
      throw this.#mistake('changed takes one glob', 'write changed("{src,test}/**"), or join two with ||')
    this.#at++
    return { type: 'changed', glob: glob.value }
  }

  #take(expected: string): boolean {
    const token = this.#tokens[this.#at]
    if (token?.type !== 'sign' || token.written !== expected) return false
    this.#at++
    return true
  }

  #mistake(message: string, hint: string): ErrandError {
    return mistake(message, this.#tokens[this.#at]?.at ?? this.#length, hint)
  }
}

/** Returns why a text is not a glob; undefined when it is one. */
export function globFault(glob: string): string | undefined {
  if (glob.length > MAX_GLOB) return `it has ${glob.length} characters; the maximum is ${MAX_GLOB}`
  try {
    globPattern(glob)
    return undefined
  } catch (error) {
    return messageOf(error).replace(/^Invalid regular expression: .*: /s, '')
  }
}

const mistake = (message: string, at: number, hint: string): ErrandError =>
  new ErrandError('invalid_playbook', message, { hint, details: { column: at + 1 } })

/** Words that other languages put between two values. */
const otherWords: Readonly<Record<string, string>> = {
  is: 'write ==',
  eq: 'write ==',
  ne: 'write !=',
  in: 'compare with each: stage == "a" || stage == "b"',
  contains: 'only whole values are compared',
  AND: 'write && or and',
  OR: 'write || or or',
}
const betweenHint = (written: string): string =>
  Object.hasOwn(otherWords, written) ? otherWords[written]! : 'put text of several words in quotes'

/** Formats a condition with the fewest parentheses; `parseCondition` restores it. */
export function printCondition(condition: Condition): string {
  switch (condition.type) {
    case 'or':
      return condition.terms.map((term) => within(term, ['or'])).join(' || ')
    case 'and':
      return condition.terms.map((term) => within(term, ['or', 'and'])).join(' && ')
    case 'not':
      return `!${within(condition.term, ['or', 'and', 'not'])}`
    case 'compare':
      return `${printOperand(condition.left)} ${condition.operator} ${printOperand(condition.right)}`
    case 'test':
      return printOperand(condition.operand)
  }
}

const within = (term: Condition, apart: readonly Condition['type'][]): string =>
  apart.includes(term.type) ? `(${printCondition(term)})` : printCondition(term)

function printOperand(operand: Operand): string {
  if (operand.type === 'name') return operand.path.join('.')
  if (operand.type === 'changed') return `changed(${inQuotes(operand.glob)})`
  return typeof operand.value === 'string' ? inQuotes(operand.value) : String(operand.value)
}

const inQuotes = (text: string): string => `"${text.replace(/["\\]/g, '\\$&')}"`

import { ErrandError } from '../../contract/errors.ts'
import {
  fillText,
  type Lookup,
  templateMistakes,
  type VariableUse,
  variableAt,
  variableValue,
} from './template.ts'

export type Comparison = '==' | '!=' | '>' | '<' | '>=' | '<='
type WhenOperand =
  | ({ type: 'variable' } & VariableUse)
  /** The text in quotes; may hold variables. */
  | { type: 'quoted'; text: string }
  | { type: 'word'; text: string }
export type WhenAst =
  | { type: 'or' | 'and'; terms: WhenAst[] }
  | { type: 'not'; term: WhenAst }
  | { type: 'compare'; operator: Comparison; left: WhenOperand; right: WhenOperand }
  | { type: 'test'; operand: WhenOperand }

const maxDepth = 100
const maxLength = 10_000

/** Parses a condition. Throws `invalid_workflow`; `details.column` is the position, from 1, within the expression. */
export function parseWhen(text: string): WhenAst {
  if (text.length > maxLength) {
    throw new ErrandError('invalid_workflow', `the expression has ${text.length} characters`, {
      hint: `the limit is ${maxLength}`,
      details: { column: 1 },
    })
  }
  return new Parser(readWhen(text), text.length).whole()
}

/**
 * Evaluates a condition. Throws `unset_variable`, and `invalid_argument` when something that is not a number is
 * compared by size.
 */
export function evaluateWhen(ast: WhenAst, lookup: Lookup): boolean {
  const value = (operand: WhenOperand): string => {
    if (operand.type === 'variable') return variableValue(operand, lookup)
    return operand.type === 'quoted' ? fillText(operand.text, lookup) : operand.text
  }
  const holds = (node: WhenAst): boolean => {
    switch (node.type) {
      case 'or':
        return node.terms.some(holds)
      case 'and':
        return node.terms.every(holds)
      case 'not':
        return !holds(node.term)
      case 'test':
        return !['', 'false', '0'].includes(value(node.operand))
      case 'compare': {
        const quoted = node.left.type === 'quoted' || node.right.type === 'quoted'
        return compare(node.operator, value(node.left), value(node.right), quoted)
      }
    }
  }
  return holds(ast)
}

const numeric = /^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$/
const whole = /^\s*-?\d+\s*$/

/** Compares two values. Quotes make equality textual: "1.10" is not "1.1". */
function compare(operator: Comparison, left: string, right: string, quoted: boolean): boolean {
  const numbers = numeric.test(left) && numeric.test(right)
  if (operator === '==' || operator === '!=') {
    const same = left === right || (numbers && !quoted && order(left, right) === 0)
    return same === (operator === '==')
  }
  if (!numbers) {
    const which = numeric.test(left) ? right : left
    throw new ErrandError(
      'invalid_argument',
      `"${which.slice(0, 100)}" is not a number, so "${operator}" cannot compare it.`,
      { hint: 'Compare text with == or !=.' },
    )
  }
  const by = order(left, right)
  if (operator === '>') return by > 0
  if (operator === '<') return by < 0
  return operator === '>=' ? by >= 0 : by <= 0
}

/** Compares numbers; whole numbers exactly, however long. */
function order(left: string, right: string): number {
  if (!whole.test(left) || !whole.test(right)) return Math.sign(Number(left) - Number(right))
  const difference = BigInt(left.trim()) - BigInt(right.trim())
  return difference === 0n ? 0 : difference > 0n ? 1 : -1
}

class Parser {
  readonly #tokens: readonly WhenToken[]
  readonly #length: number
  #at = 0
  #depth = 0

  constructor(tokens: readonly WhenToken[], length: number) {
    this.#tokens = tokens
    this.#length = length
  }

  whole(): WhenAst {
    if (this.#tokens.length === 0)
      throw this.#mistake(
        'the expression is empty',
        'write one, such as ${OK} == "true", or leave "when" out',
      )
    const ast = this.#either()
    const rest = this.#tokens[this.#at]
    if (rest?.type === 'operand') {
      const hint = Object.hasOwn(otherWords, rest.written) ? otherWords[rest.written] : undefined
      throw this.#mistake(
        hint === undefined
          ? `expected && or || before ${rest.written}`
          : `"${rest.written}" is not an operator`,
        hint ?? 'put text with several words in quotes',
      )
    }
    if (rest) throw this.#mistake(`${rest.written} is not expected here`, comparisonHint(rest.written))
    return ast
  }

  #either(): WhenAst {
    return this.#joined('or', '||', () => this.#joined('and', '&&', () => this.#negated()))
  }

  #joined(type: 'or' | 'and', sign: string, part: () => WhenAst): WhenAst {
    const terms = [part()]
    while (this.#take(sign)) terms.push(part())
    return terms.length === 1 ? terms[0]! : { type, terms }
  }

  #negated(): WhenAst {
    if (++this.#depth > maxDepth) throw this.#tooDeep()
    try {
      if (this.#take('!')) return { type: 'not', term: this.#negated() }
      const at = this.#at
      if (!this.#take('(')) return this.#comparison({ operand: this.#operand(), at })
      const inner = this.#either()
      this.#close()
      if (inner.type === 'test') return this.#comparison({ operand: inner.operand, at })
      if (this.#operator() === undefined) return inner
      throw this.#mistake(
        `the expression in parentheses before ${this.#tokens[this.#at]!.written} is true or false, not a value`,
        'compare values, such as ${A} == "x", and join comparisons with && or ||',
      )
    } finally {
      this.#depth--
    }
  }

  #comparison(left: Placed): WhenAst {
    const operator = this.#operator()
    if (operator === undefined) return { type: 'test', operand: left.operand }
    this.#at++
    const right = { at: this.#at, operand: this.#value() }
    if (operator !== '==' && operator !== '!=')
      for (const side of [left, right]) this.#mustBeNumber(side, operator)
    return { type: 'compare', operator, left: left.operand, right: right.operand }
  }

  #operator(): Comparison | undefined {
    const token = this.#tokens[this.#at]
    return token?.type === 'sign' && comparison.test(token.written)
      ? (token.written as Comparison)
      : undefined
  }

  #mustBeNumber({ operand, at }: Placed, operator: string): void {
    if (operand.type === 'variable' || operand.text.includes('${') || numeric.test(operand.text)) return
    this.#at = at
    const shown = operand.type === 'quoted' ? JSON.stringify(operand.text) : operand.text
    throw this.#mistake(
      `"${operator}" compares numbers, but ${shown} is not a number`,
      'compare text with == or !=',
    )
  }

  /** Parses the other side of a comparison: one value, optionally in parentheses. */
  #value(): WhenOperand {
    if (!this.#take('(')) return this.#operand()
    if (++this.#depth > maxDepth) throw this.#tooDeep()
    const operand = this.#value()
    this.#close()
    this.#depth--
    return operand
  }

  #operand(): WhenOperand {
    const token = this.#tokens[this.#at]
    if (token?.type === 'operand') {
      this.#at++
      return token.operand
    }
    const found = token ? `found ${token.written}` : 'the expression ends'
    throw this.#mistake(`expected a value, but ${found}`, 'a value is ${VAR}, "text", a number or a word')
  }

  #close(): void {
    if (this.#take(')')) return
    const found = this.#tokens[this.#at]
    throw found === undefined
      ? this.#mistake('a ")" is missing', 'close the parenthesis')
      : this.#mistake(`expected ")", but found ${found.written}`, comparisonHint(found.written))
  }

  #take(sign: string): boolean {
    const token = this.#tokens[this.#at]
    if (token?.type !== 'sign' || token.written !== sign) return false
    this.#at++
    return true
  }

  #tooDeep(): ErrandError {
    return this.#mistake('the expression is nested too deeply', `at most ${maxDepth} levels`)
  }

  #mistake(message: string, hint?: string): ErrandError {
    const column = this.#tokens[this.#at]?.column ?? this.#length + 1
    return new ErrandError('invalid_workflow', message, { hint, details: { column } })
  }
}

const comparison = /^([=!<>]=|[<>])$/

/** A value, and the place of its first token. */
interface Placed {
  operand: WhenOperand
  at: number
}

const set = 'compare with empty text: ${NAME:-} != ""'
const sums = 'expressions cannot calculate; let a command do it, and read its result with outputs'

const noPattern =
  'only == and != compare text; extract the part that matters with outputs: {NAME: {from: stdout, regex: …}}'

/** Words that other languages put between two values. */
const otherWords: Readonly<Record<string, string>> = {
  is: set,
  in: 'compare with each: ${NAME} == "a" || ${NAME} == "b"',
  contains: noPattern,
  matches: noPattern,
  eq: 'write ==',
  '-eq': 'write ==',
  ne: 'write !=',
  '-ne': 'write !=',
  gt: 'write >',
  '-gt': 'write >',
  lt: 'write <',
  '-lt': 'write <',
  '+': sums,
  '-': sums,
  '*': sums,
  '/': sums,
  '%': sums,
}

function comparisonHint(written: string): string {
  return comparison.test(written) ? 'join comparisons with && or ||' : 'check the parentheses'
}

/** `written` is the source text, `column` counts from 1. */
type WhenToken = { written: string; column: number } & (
  | { type: 'sign' }
  | { type: 'operand'; operand: WhenOperand }
)

const space = /\s+/y
const sign = /&&|\|\||==|!=|>=|<=|[!()<>]/y
const word = /[A-Za-z0-9_.+:/@%,~^*-]+/y
const quoted = /"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'/sy

const insteadOf: Readonly<Record<string, string>> = {
  and: '&&',
  or: '||',
  not: '!',
  AND: '&&',
  OR: '||',
  NOT: '!',
}

/** Splits a `when` expression into tokens. Throws as `parseWhen` does. */
function readWhen(text: string): WhenToken[] {
  const tokens: WhenToken[] = []
  for (let at = 0; at < text.length; ) {
    const start = at
    const read = (pattern: RegExp): RegExpExecArray | null => {
      pattern.lastIndex = start
      const match = pattern.exec(text)
      if (match) at = pattern.lastIndex
      return match
    }
    const push = (operand: WhenOperand): void => {
      const previous = tokens.at(-1)
      if (previous?.type === 'operand' && previous.column - 1 + previous.written.length === start) {
        throw mistake(
          'there is no operator between two values',
          start,
          'put the whole text in quotes: "v${MAJOR}.${MINOR}"',
        )
      }
      tokens.push({ type: 'operand', operand, written: text.slice(start, at), column: start + 1 })
    }

    if (read(space)) continue
    const variable = variableAt(text, start)
    if (variable) {
      at = variable.end
      push({ type: 'variable', name: variable.name, fallback: variable.fallback })
      continue
    }
    if (read(sign)) {
      tokens.push({ type: 'sign', written: text.slice(start, at), column: start + 1 })
      continue
    }
    const string = read(quoted)
    if (string) {
      const inner = string[1] ?? string[2] ?? ''
      for (const wrong of templateMistakes(inner))
        throw mistake(wrong.message, start + 1 + wrong.index, wrong.hint)
      push({ type: 'quoted', text: inner.replace(/\\(["'\\])/g, '$1') })
      continue
    }
    const plain = read(word)
    if (!plain) throw unreadable(text, start)
    if (Object.hasOwn(insteadOf, plain[0])) {
      throw mistake(`"${plain[0]}" is not an operator`, start, `write ${insteadOf[plain[0]]}`)
    }
    if (text[at] === '(') throw mistake(`there is no function ${plain[0]}()`, start, functionHint(plain[0]))
    push({ type: 'word', text: plain[0] })
  }
  return tokens
}

function functionHint(name: string): string {
  if (name === 'success') return 'leave it out: a step runs only if the steps before it succeeded'
  if (name === 'failure') return 'put the step under finally:, with when: ${ERRAND_RUN_STATUS} == "failed"'
  if (name === 'always') return 'put the step under finally:, where steps run even after a failure'
  return noPattern
}

function unreadable(text: string, at: number): ErrandError {
  const character = String.fromCodePoint(text.codePointAt(at)!)
  if (character === '"' || character === "'")
    return mistake('a quote is not closed', at, `end the text with ${character}`)
  if (text.startsWith('=~', at)) return mistake('"=~" is not an operator', at, noPattern)
  if (character === '=') return mistake('"=" is not an operator', at, 'write ==')
  if (character === '&' || character === '|') {
    return mistake(`"${character}" is not an operator`, at, `write ${character}${character}`)
  }
  if (character === '$') {
    const [wrong] = templateMistakes(text.slice(at))
    if (wrong?.index === 0) return mistake(wrong.message, at, wrong.hint)
    if (text.startsWith('$(', at))
      return mistake(
        'an expression cannot run a command',
        at,
        'run it in an earlier step, and compare a variable from its outputs',
      )
    const name = /^\$([A-Za-z_]\w*)/.exec(text.slice(at, at + 130))?.[1] ?? 'NAME'
    return mistake('"$" does not begin a variable', at, `write \${${name}}`)
  }
  if (character === '{') return mistake('"{" does not begin a variable', at, 'a variable is written ${NAME}')
  return mistake(`"${character}" is not expected here`, at, 'put text in quotes')
}

function mistake(message: string, index: number, hint: string): ErrandError {
  return new ErrandError('invalid_workflow', message, { hint, details: { column: index + 1 } })
}

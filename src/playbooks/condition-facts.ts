import { globPattern } from '../platform/untrusted-input.ts'
import type { Comparison, Condition, Operand } from './condition.ts'

/** Everything that conditions can see. Other names are null. */
export interface ConditionFacts {
  /** The task's own metadata, by bare names and by `metadata.NAME`. */
  metadata?: Readonly<Record<string, unknown>>
  /** The task's fields, by `task.NAME`. */
  task?: Readonly<Record<string, unknown>>
  /** Variables by `env.NAME`: those of `allowedEnv`. */
  env?: Readonly<Record<string, string | undefined>>
  /** Paths that differ from the base, with `/`, from the root of the repository; for `changed("glob")`. */
  changed?: readonly string[]
}

/** Variables of an environment that conditions may read; an operator can name more. */
const readableEnv = ['CI', 'LANG', 'LC_ALL', 'NODE_ENV', 'TZ'] as const

/** Returns the variables of an environment that conditions may read. */
export function allowedEnv(
  env: Readonly<Record<string, string | undefined>>,
  more: readonly string[] = [],
): Record<string, string> {
  const named = [...readableEnv, ...more].filter((name) => Object.hasOwn(env, name))
  return Object.fromEntries(named.flatMap((name) => (env[name] === undefined ? [] : [[name, env[name]]])))
}

/**
 * Evaluates a condition. An unknown name is null, which equals only null and is neither less nor more than anything;
 * lists and maps equal nothing. A number or `true` equals its own text, because variables are text. Globs and paths
 * come from strangers: call it within a `TimeGuard`.
 */
export function conditionHolds(condition: Condition, facts: ConditionFacts): boolean {
  switch (condition.type) {
    case 'or':
      return condition.terms.some((term) => conditionHolds(term, facts))
    case 'and':
      return condition.terms.every((term) => conditionHolds(term, facts))
    case 'not':
      return !conditionHolds(condition.term, facts)
    case 'test':
      return isTrue(operandValue(condition.operand, facts))
    case 'compare':
      return compare(
        condition.operator,
        operandValue(condition.left, facts),
        operandValue(condition.right, facts),
      )
  }
}

function operandValue(operand: Operand, facts: ConditionFacts): unknown {
  if (operand.type === 'constant') return operand.value
  if (operand.type === 'changed') {
    const pattern = globPattern(operand.glob)
    return (facts.changed ?? []).some((path) => pattern.test(path))
  }
  const [first = '', ...rest] = operand.path
  if (rest.length > 0 && first === 'env') return own(facts.env, rest.join('.'))
  if (rest.length > 0 && first === 'task') return at(facts.task, rest)
  if (rest.length > 0 && first === 'metadata') return at(facts.metadata, rest)
  return at(facts.metadata, operand.path)
}

const at = (value: unknown, path: readonly string[]): unknown =>
  path.reduce<unknown>((inner, part) => own(inner, part), value)

/** Returns the value of a map's or list's own key; null when there is none. */
function own(value: unknown, key: string): unknown {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return null
  return (value as Record<string, unknown>)[key] ?? null
}

function isTrue(value: unknown): boolean {
  if (typeof value === 'object' && value !== null) return Object.keys(value).length > 0
  return !(value === null || value === false || value === 0 || ['', 'false', '0'].includes(value as string))
}

function compare(operator: Comparison, left: unknown, right: unknown): boolean {
  if (operator === '==') return isSame(left, right)
  if (operator === '!=') return !isSame(left, right)
  const by = order(left, right)
  if (by === undefined) return false
  if (operator === '<') return by < 0
  if (operator === '<=') return by <= 0
  return operator === '>' ? by > 0 : by >= 0
}

type Plain = string | number | boolean
const isPlain = (value: unknown): value is Plain => ['string', 'number', 'boolean'].includes(typeof value)

function isSame(left: unknown, right: unknown): boolean {
  if (left === null || right === null) return left === right
  if (!isPlain(left) || !isPlain(right)) return false
  if (typeof left === typeof right) return left === right
  if (typeof left === 'boolean' || typeof right === 'boolean') {
    // A number is neither true nor false.
    return typeof left !== 'number' && typeof right !== 'number' && String(left) === String(right)
  }
  return numberOf(left) === numberOf(right)
}

/**
 * Compares numbers by size, even as text, and other texts by their characters; undefined when they cannot be compared.
 */
function order(left: unknown, right: unknown): number | undefined {
  const [a, b] = [numberOf(left), numberOf(right)]
  if (a !== undefined && b !== undefined) return a - b
  if (typeof left !== 'string' || typeof right !== 'string') return undefined
  return left < right ? -1 : left > right ? 1 : 0
}

function numberOf(value: unknown): number | undefined {
  if (typeof value === 'number') return value
  const isNumber = typeof value === 'string' && /^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$/.test(value)
  return isNumber ? Number(value) : undefined
}

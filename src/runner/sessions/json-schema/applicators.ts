import { matcher, number } from './assertions.ts'
import { below, type Check, forType, isObject, type Json, list, must, object, told } from './check.ts'

type CheckOf = (schema: unknown) => Check

const isList = (value: unknown): value is unknown[] => Array.isArray(value)
const ofObject = (check: (value: Json, at: string) => string[]): Check => forType(isObject, check)
const ofList = (check: (value: unknown[], at: string) => string[]): Check => forType(isList, check)

const named = (given: unknown, of: CheckOf): [name: string, check: Check][] =>
  Object.entries(object(given)).map(([name, schema]) => [name, of(schema)])

/** Keywords that hold other schemas, or speak of what stands below. */
export const applicators: Record<string, (given: unknown, of: CheckOf, beside: Json) => Check> = {
  properties: (given, of) => {
    const checks = named(given, of)
    return ofObject((value, at) =>
      checks.flatMap(([name, check]) =>
        Object.hasOwn(value, name) ? check(value[name], below(at, name)) : [],
      ),
    )
  },
  patternProperties: (given, of) => {
    const checks = named(given, of).map(([pattern, check]) => [matcher(pattern), check] as const)
    return ofObject((value, at) =>
      Object.entries(value).flatMap(([name, each]) =>
        checks.flatMap(([fits, check]) => (fits(name) ? check(each, below(at, name)) : [])),
      ),
    )
  },
  additionalProperties: (given, of, { properties = {}, patternProperties = {} }) => {
    const check = of(given)
    const known = new Set(Object.keys(object(properties)))
    const patterns = Object.keys(object(patternProperties)).map(matcher)
    return ofObject((value, at) =>
      Object.entries(value)
        .filter(([name]) => !known.has(name) && !patterns.some((fits) => fits(name)))
        .flatMap(([name, each]) => check(each, below(at, name))),
    )
  },
  propertyNames: (given, of) => {
    const check = of(given)
    return ofObject((value, at) => Object.keys(value).flatMap((name) => check(name, below(at, name))))
  },
  required: (given) => {
    const names = list(given).map(String)
    return ofObject((value, at) => missing(names, value, at))
  },
  dependentRequired: (given) => {
    const needs = Object.entries(object(given)).map(([name, names]) => ({
      name,
      names: list(names).map(String),
    }))
    return ofObject((value, at) =>
      needs.flatMap(({ name, names }) => (Object.hasOwn(value, name) ? missing(names, value, at) : [])),
    )
  },
  prefixItems: (given, of) => {
    const checks = list(given).map(of)
    return ofList((value, at) =>
      value.slice(0, checks.length).flatMap((each, index) => checks[index]!(each, below(at, index))),
    )
  },
  items: (given, of, { prefixItems = [] }) => {
    if (isList(given)) throw new Error('"items" is a list, which newer schemas call "prefixItems"')
    const check = of(given)
    const first = list(prefixItems).length
    return ofList((value, at) =>
      value.slice(first).flatMap((each, index) => check(each, below(at, first + index))),
    )
  },
  contains: (given, of, { minContains = 1, maxContains }) => {
    const check = of(given)
    const least = number(minContains)
    const most = maxContains === undefined ? Number.POSITIVE_INFINITY : number(maxContains)
    return ofList((value, at) => {
      const found = value.filter((each) => check(each, '').length === 0).length
      return found >= least && found <= most
        ? []
        : [told(at, `${found} items of the kind that it must contain`)]
    })
  },
  allOf: (given, of) => {
    const checks = list(given).map(of)
    return (value, at) => checks.flatMap((check) => check(value, at))
  },
  anyOf: (given, of) => fitting(given, of, (times) => times > 0, 'expected one of several shapes'),
  oneOf: (given, of) => fitting(given, of, (times) => times === 1, 'expected just one of several shapes'),
  not: (given, of) => fitting([given], of, (times) => times === 0, 'has a shape that it must not have'),
  if: (given, of, { then: met = true, else: unmet = true }) => {
    const [condition, checkMet, checkUnmet] = [of(given), of(met), of(unmet)]
    return (value, at) => (condition(value, '').length === 0 ? checkMet : checkUnmet)(value, at)
  },
}

function fitting(given: unknown, of: CheckOf, right: (times: number) => boolean, otherwise: string): Check {
  const checks = list(given).map(of)
  return must((value) => right(checks.filter((check) => check(value, '').length === 0).length), otherwise)
}

const missing = (names: readonly string[], value: Json, at: string): string[] =>
  names.filter((name) => !Object.hasOwn(value, name)).map((name) => told(below(at, name), 'is missing'))

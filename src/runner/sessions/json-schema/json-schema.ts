import { applicators } from './applicators.ts'
import { assertions } from './assertions.ts'
import { type Check, object, told } from './check.ts'

const unsupported = [
  ...['unevaluatedProperties', 'unevaluatedItems', 'additionalItems', 'dependentSchemas', 'dependencies'],
  ...['$dynamicRef', '$recursiveRef'],
]

/**
 * How a value is checked by a JSON Schema: each keyword holds as it stands, also beside no `type`. Throws an Error for
 * what is no schema, or limits by what is not supported: nothing of that is passed over.
 */
export function schemaCheck(root: unknown): Check {
  const byRef = new Map<string, Check>()
  return checkOf(root)

  function checkOf(schema: unknown): Check {
    if (schema === true) return () => []
    if (schema === false) return (_, at) => [told(at, 'expected nothing here')]
    const keywords = object(schema)
    const wrong = unsupported.find((name) => Object.hasOwn(keywords, name))
    if (wrong !== undefined) throw new Error(`"${wrong}" is not supported`)
    const checks = Object.entries(keywords).flatMap(([name, given]) => {
      if (name === '$ref') return [referred(String(given))]
      if (Object.hasOwn(assertions, name)) return [assertions[name]!(given)]
      return Object.hasOwn(applicators, name) ? [applicators[name]!(given, checkOf, keywords)] : []
    })
    return (value, at) => checks.flatMap((check) => check(value, at))
  }

  /** A schema may stand within itself. */
  function referred(ref: string): Check {
    if (!byRef.has(ref)) {
      byRef.set(ref, () => [])
      byRef.set(ref, checkOf(schemaAt(root, ref)))
    }
    return (value, at) => byRef.get(ref)!(value, at)
  }
}

/** `#/$defs/name`: a place in the same schema. */
function schemaAt(root: unknown, ref: string): unknown {
  if (ref !== '#' && !ref.startsWith('#/')) throw new Error(`"${ref}" does not begin with "#/"`)
  const names = decodeURIComponent(ref).split('/').slice(1)
  let at = root
  for (const name of names.map((each) => each.replaceAll('~1', '/').replaceAll('~0', '~'))) {
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, name))
      throw new Error(`there is nothing at "${ref}"`)
    at = (at as Record<string, unknown>)[name]
  }
  return at
}

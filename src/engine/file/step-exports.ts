import { asList, asMap, own } from './loose.ts'

/** The variables that a step says it sets. */
export function declaredExports(step: unknown): string[] {
  const set = own(step, 'action') === 'vars.set' ? own(own(step, 'args'), 'vars') : undefined
  return [
    ...Object.keys(asMap(own(step, 'outputs')) ?? {}),
    ...asList(own(step, 'expect_vars')).filter((name) => typeof name === 'string'),
    ...Object.keys(asMap(set) ?? {}),
  ]
}

const exportLine = /BOPS_EXPORT:([A-Za-z_]\w{0,127})=/g

/** Those, and what its script names or its sub-workflow answers; what else a program prints nobody knows. */
export function knownExports(step: unknown): Set<string> {
  const args = own(step, 'args')
  const script = own(args, 'export_vars') === true ? `${own(args, 'cmd')} ${own(args, 'script')}` : ''
  return new Set([
    ...declaredExports(step),
    ...[...script.matchAll(exportLine)].map(([, name]) => name!),
    ...Object.keys(asMap(own(own(args, 'workflow'), 'outputs')) ?? {}),
  ])
}

import type { OwnLabels } from './docker-engine.ts'

const names: Readonly<Record<keyof OwnLabels, string>> = {
  runner: 'errand.runner',
  attempt: 'errand.attempt',
  bot: 'errand.bot',
  owner: 'errand.owner',
}
const entries = Object.entries(names) as [keyof OwnLabels, string][]

export function dockerLabels(labels: OwnLabels): Record<string, string> {
  return Object.fromEntries(
    entries.flatMap(([own, name]) => (labels[own] === undefined ? [] : [[name, labels[own]]])),
  )
}

/** Undefined where the thing is not ours. */
export function ownLabels(
  labels: Readonly<Record<string, string>> | null | undefined,
): OwnLabels | undefined {
  if (labels?.[names.runner] === undefined) return undefined
  const own = entries.flatMap(([own, name]) => (labels[name] === undefined ? [] : [[own, labels[name]]]))
  return Object.fromEntries(own) as OwnLabels
}

/** For an engine's list: what is ours and has these labels. */
export function labelFilter(labels: Partial<OwnLabels>): string[] {
  const asked = entries.flatMap(([own, name]) =>
    labels[own] === undefined ? [] : [`${name}=${labels[own]}`],
  )
  return [names.runner, ...asked]
}

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

/** Parses our labels; undefined if the thing is not ours. */
export function ownLabels(
  labels: Readonly<Record<string, string>> | null | undefined,
): OwnLabels | undefined {
  if (labels?.[names.runner] === undefined) return undefined
  const own = entries.flatMap(([own, name]) => (labels[name] === undefined ? [] : [[own, labels[name]]]))
  return Object.fromEntries(own) as OwnLabels
}

/** Returns a filter for an engine's list: things of ours with these labels. */
export function labelFilter(labels: Partial<OwnLabels>): string[] {
  const requested = entries.flatMap(([own, name]) =>
    labels[own] === undefined ? [] : [`${name}=${labels[own]}`],
  )
  return [names.runner, ...requested]
}

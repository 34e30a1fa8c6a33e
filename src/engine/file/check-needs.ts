import { didYouMean } from './did-you-mean.ts'
import { asList, asText, own } from './loose.ts'
import type { Report } from './report.ts'

/** Names are unique over all steps; needs name other main steps, without a circle. */
export function checkNamesAndNeeds(report: Report, workflow: unknown): void {
  const main = asList(own(workflow, 'steps'))
  const last = asList(own(workflow, 'finally'))
  const names = new Map<string, string>()
  for (const [list, steps] of [
    ['steps', main],
    ['finally', last],
  ] as const) {
    for (const [index, step] of steps.entries()) {
      const name = asText(own(step, 'name'))
      if (name === undefined) continue
      const first = names.get(name)
      if (first === undefined) names.set(name, `${list}[${index}]`)
      else {
        const message = `name ${JSON.stringify(name)} is taken already, by ${first}`
        report.add([list, index, 'name'], message, {
          hint: 'each step has a name of its own, in steps and finally together',
        })
      }
    }
  }
  for (const [index, step] of last.entries()) {
    if (own(step, 'needs') !== undefined) {
      const hint = 'finally steps run one after another, after all others; leave needs out'
      report.say(['finally', index, 'needs'], 'cannot be used', { at: 'key', hint })
    }
  }
  checkNeeds(report, main, names)
}

function checkNeeds(report: Report, main: readonly unknown[], names: ReadonlyMap<string, string>): void {
  const positions = new Map<string, number>()
  for (const [index, step] of main.entries()) {
    const name = asText(own(step, 'name'))
    if (name !== undefined && !positions.has(name)) positions.set(name, index)
  }
  const edges = main.map((step, index) => {
    const seen = new Set<unknown>()
    return asList(own(step, 'needs')).flatMap((need, at) => {
      const path = ['steps', index, 'needs', at] as const
      if (typeof need !== 'string') return []
      const quoted = JSON.stringify(need)
      if (seen.has(need)) report.say(path, `names ${quoted} a second time`, { hint: 'name it once' })
      seen.add(need)
      const position = positions.get(need)
      if (need === own(step, 'name'))
        report.say(path, 'names the step itself', { hint: 'a step cannot wait for itself' })
      else if (position !== undefined) return [position]
      else if (names.has(need))
        report.say(path, `names ${quoted}, which is a finally step`, {
          hint: 'finally steps come after all others',
        })
      else
        report.say(path, `names ${quoted}, and there is no such step`, {
          hint: () =>
            didYouMean(
              need,
              positions.keys(),
              `name a step: ${[...positions.keys()].slice(0, 10).join(', ')}`,
            ),
        })
      return []
    })
  })
  for (const circle of circles(edges)) {
    const label = (index: number) => asText(own(main[index], 'name')) ?? String(index + 1)
    const shown = circle.length > 12 ? [...circle.slice(0, 11), circle.at(-1)!] : circle
    const text = [...shown, shown[0]!].map(label).join(' -> ')
    const hint = 'take one of these needs away'
    report.add(['steps', circle[0]!, 'needs'], `these steps wait for each other: ${text}`, {
      at: 'key',
      hint,
    })
  }
}

/** One circle for each edge that closes one, found depth first; each node is entered once. */
function circles(edges: readonly (readonly number[])[]): number[][] {
  const found: number[][] = []
  const done = new Set<number>()
  for (const start of edges.keys()) {
    const path: number[] = []
    const placeOnPath = new Map<number, number>()
    const next: number[] = []
    const enter = (node: number) => {
      placeOnPath.set(node, path.length)
      path.push(node)
      next.push(0)
    }
    if (!done.has(start)) enter(start)
    while (path.length > 0) {
      const node = path.at(-1)!
      const to = edges[node]![next[next.length - 1]!++]
      if (to === undefined) {
        done.add(node)
        placeOnPath.delete(node)
        path.pop()
        next.pop()
      } else if (placeOnPath.has(to)) found.push(path.slice(placeOnPath.get(to)))
      else if (!done.has(to)) enter(to)
    }
  }
  return found
}

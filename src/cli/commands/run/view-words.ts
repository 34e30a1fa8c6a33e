import type { ErrandClient } from '../../../client/client.ts'
import type { RunSort } from '../../../contract/run.ts'
import type { BulkRunsInput } from '../../../contract/runs/run-lists.ts'
import type { SavedView, ViewFilter } from '../../../contract/runs/saved-views.ts'
import { UsageError } from '../../command.ts'
import { momentOf } from '../../option-values.ts'

type Filter = NonNullable<BulkRunsInput['filter']>

const named =
  /^(kind|status|user|workflow|label|since|until|needs|latest|sort|agent|repository|shared|input\.\w+):(.+)$/

/** Parses words into a filter as views store it. Words that are not `name:value` are searched in ids and names. */
export function viewWords(text: string): ViewFilter {
  const filter: ViewFilter = {}
  const rest: string[] = []
  for (const word of text.split(/\s+/).filter((one) => one !== '')) {
    const [, name, value] = named.exec(word) ?? []
    if (name !== undefined) filter[name] = value!
    else if (/^\w+(\.\w+)?:./.test(word))
      throw new UsageError(
        `the filter has an unknown word "${word}"`,
        'use status, kind, user, workflow, label, since, until, needs, latest, sort, agent, repository, shared and input.NAME, with a colon and a value',
      )
    else rest.push(word)
  }
  return rest.length > 0 ? { ...filter, q: rest.join(' ') } : filter
}

/** Converts a filter to the form that the API takes. Throws `UsageError`. */
export function apiFilter(words: ViewFilter): Filter {
  const { kind, user, workflow, label, since, until, needs, latest, sort, agent, repository, shared, q } =
    words
  const inputs = Object.entries(words).flatMap(([name, value]) =>
    name.startsWith('input.') ? [`${name.slice('input.'.length)}=${value}`] : [],
  )
  const filter = {
    status: words.status,
    blueprint: kind,
    owner: user,
    workflow_name: workflow,
    created_after: momentOf('since:', since),
    created_before: momentOf('until:', until),
    needs: needs === undefined ? undefined : ('me' as const),
    latest: latest === undefined ? undefined : ('true' as const),
    label: label?.split(','),
    sort: sort as RunSort | undefined,
    agent,
    repository,
    shared: shared === undefined ? undefined : ('true' as const),
    input: inputs.length > 0 ? inputs : undefined,
    text: q,
  }
  return Object.fromEntries(Object.entries(filter).filter(([, value]) => value !== undefined))
}

/** Formats a filter as the words that `viewWords` parses. */
export const wordsOf = (filter: ViewFilter): string =>
  Object.entries(filter)
    .map(([name, value]) => (name === 'q' ? value : `${name}:${value}`))
    .join(' ')

/** Finds a view by its id or name; of several with this name, the user's own one. Throws `UsageError`. */
export async function viewNamed(client: ErrandClient, nameOrId: string): Promise<SavedView> {
  const { views } = await client.views.list()
  const same = (name: string) => name.toLowerCase() === nameOrId.toLowerCase()
  const fitting = views.filter(({ id, name }) => id === nameOrId || same(name))
  const found =
    fitting.find(({ id }) => id === nameOrId) ?? fitting.find(({ shared }) => !shared) ?? fitting[0]
  if (found !== undefined) return found
  throw new UsageError(`view "${nameOrId}" not found`, 'list views with: errand views list')
}

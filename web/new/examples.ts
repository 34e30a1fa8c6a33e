const files = import.meta.glob<string>(
  '../../examples/{hello,graph,matrix,retry,finally,approval,rollback,variables}.yaml',
  { query: '?raw', import: 'default' },
)

const nameOf = (file: string) => file.replace(/^.*\//, '').replace(/\.yaml$/, '')

/** Workflows that come with Errand, by name. */
export const examples: readonly string[] = Object.keys(files).map(nameOf)

/** The name that `from=example:NAME` has; undefined: it is no example's. */
export const exampleOf = (from: string | undefined): string | undefined =>
  from?.startsWith('example:') ? from.slice('example:'.length) : undefined

/** Its text, with the notes of the file but those on how a shell runs it. Undefined where there is none of that name. */
export async function exampleText(name: string): Promise<string | undefined> {
  const file = Object.keys(files).find((one) => nameOf(one) === name)
  const text = file === undefined ? undefined : await files[file]!()
  return text?.replace(/^(?:#.*\berrand run\b.*\n)+/, '')
}

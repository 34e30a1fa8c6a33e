const files = import.meta.glob<string>(
  '../../examples/{hello,graph,matrix,retry,finally,approval,rollback,variables}.yaml',
  { query: '?raw', import: 'default' },
)

const nameOf = (file: string) => file.replace(/^.*\//, '').replace(/\.yaml$/, '')

/** Names of the workflows that come with Errand. */
export const examples: readonly string[] = Object.keys(files).map(nameOf)

/** Returns the name in `from=example:NAME`, or undefined if `from` names no example. */
export const exampleOf = (from: string | undefined): string | undefined =>
  from?.startsWith('example:') ? from.slice('example:'.length) : undefined

/**
 * Returns the text of an example without the notes on how to run it from a shell, or undefined if there is none of
 * that name.
 */
export async function exampleText(name: string): Promise<string | undefined> {
  const file = Object.keys(files).find((one) => nameOf(one) === name)
  const text = file === undefined ? undefined : await files[file]!()
  return text?.replace(/^(?:#.*\berrand run\b.*\n)+/, '')
}

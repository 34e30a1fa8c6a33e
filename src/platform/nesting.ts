/** Whether lists and objects stand more than so deep in one another. */
export function isNestedDeeper(value: unknown, most: number): boolean {
  let level = [value]
  for (let depth = 0; level.length > 0 && depth <= most; depth++)
    level = level.flatMap((each) => (typeof each === 'object' && each !== null ? Object.values(each) : []))
  return level.length > 0
}

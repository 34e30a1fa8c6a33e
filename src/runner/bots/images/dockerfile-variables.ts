const VARIABLE = /\$(?:([A-Za-z_]\w*)|\{([A-Za-z_]\w*)(?:(:?[-+])([^${}]*))?\})/g

/** Takes the defaults of an ARG before the first FROM; what has none, or is not written plainly, has no value. */
export function readArg(rest: string, variables: Map<string, string>): void {
  for (const [, name, quoted, single, plain] of rest.matchAll(
    /([A-Za-z_]\w*)(?:=(?:"([^"]*)"|'([^']*)'|(\S*)))?(?=\s|$)/g,
  )) {
    const given = quoted ?? single ?? plain
    const value = given === undefined ? undefined : expanded(given, variables)
    if (value === undefined) variables.delete(name!)
    else variables.set(name!, value)
  }
}

/** Undefined where a variable has no value. */
export function expanded(text: string, variables: ReadonlyMap<string, string>): string | undefined {
  let whole = true
  const result = text.replace(VARIABLE, (_all, bare, braced, sign, word) => {
    const value = variables.get(bare ?? braced)
    const isSet = value !== undefined && (value !== '' || sign?.startsWith(':') !== true)
    if (sign?.endsWith('+')) return isSet ? word : ''
    if (isSet) return value
    if (sign === undefined) whole = false
    return word ?? ''
  })
  return whole && result !== '' ? result : undefined
}

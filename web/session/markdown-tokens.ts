import { Lexer, type Token, type TokensList } from 'marked'

/** Maximum nesting of quotes, lists and emphasis; deeper marks stay text. */
const MOST_DEEP = 20

/**
 * A lexer that bounds its recursion. The original calls itself for every nested block or piece, as deep as the text
 * says.
 */
class BoundedLexer extends Lexer {
  #depth = 0

  override blockTokens(text: string, tokens: Token[] = [], isClipped = false): TokensList {
    return this.#within(text, tokens, () => super.blockTokens(text, tokens, isClipped)) as TokensList
  }

  override inlineTokens(text: string, tokens: Token[] = []): Token[] {
    return this.#within(text, tokens, () => super.inlineTokens(text, tokens))
  }

  #within(text: string, tokens: Token[], lex: () => Token[]): Token[] {
    if (this.#depth >= MOST_DEEP) {
      if (text !== '') tokens.push({ type: 'text', raw: text, text })
      return tokens
    }
    this.#depth++
    try {
      return lex()
    } finally {
      this.#depth--
    }
  }
}

/** Returns the blocks of a Markdown text with their nested blocks, down to a maximum depth. */
export const tokensOf = (text: string): Token[] => new BoundedLexer({ gfm: true }).lex(text)

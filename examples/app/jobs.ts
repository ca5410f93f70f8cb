import { db } from '../../plugin.ts'
import { Author } from './entities.ts'

/** Outside any request: a unit of work of its own, done again if it loses a deadlock. Gives how many there were. */
export async function removeAuthorsWithoutBooks (): Promise<number> {
  return await db.run(async session => {
    const authors = await session.find(Author, { books: { $none: {} } })
    for (const author of authors) session.remove(author)
    return authors.length
  }, { retry: 3 })
}

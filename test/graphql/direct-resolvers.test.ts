import "reflect-metadata";
import { type GraphQLSchema, graphql } from "graphql";
import {
  Arg,
  Args,
  ArgsType,
  buildSchema,
  Ctx,
  Field,
  FieldResolver,
  Info,
  InputType,
  Int,
  Mutation,
  ObjectType,
  Query,
  Resolver,
  Root,
  UseMiddleware,
} from "type-graphql";
import { beforeAll, expect, it } from "vitest";
import { callDirectly } from "../../src/graphql/direct-resolvers.js";

@InputType()
class Wish {
  @Field(() => Int)
  readonly size!: number;
}

@ArgsType()
class Range {
  @Field(() => Int, { nullable: true })
  readonly first?: number;
}

@ObjectType()
class Thing {
  @Field(() => String)
  readonly name!: string;
}

/** Whether an input came as an instance of its class, as type-graphql makes it. */
const kindOf = (wish: Wish) => (wish instanceof Wish ? "made" : "read");

@Resolver(() => Thing)
class Things {
  readonly #own = "own";

  @Query(() => Thing)
  thing(): Thing {
    return { name: this.#own };
  }

  @Mutation(() => String)
  async wish(
    @Ctx() { who }: { who: string },
    @Arg("wish", () => Wish) wish: Wish,
    @Arg("note", () => String) note: string,
  ) {
    return `${who} ${wish.size} ${note} ${this.#own} ${kindOf(wish)}`;
  }

  @Query(() => String)
  one(@Ctx() { who }: { who: string }): string {
    return `${who} ${this.#own}`;
  }

  @Query(() => String)
  two(@Arg("note", () => String) note: string, @Ctx() { who }: { who: string }): string {
    return `${note} ${who} ${this.#own}`;
  }

  @Mutation(() => String)
  refuse(): string {
    throw new Error("refused");
  }

  @Mutation(() => String)
  @UseMiddleware(async (_, next) => `watched ${await next()}`)
  watched(@Arg("wish", () => Wish) wish: Wish): string {
    return kindOf(wish);
  }

  @Mutation(() => String)
  informed(@Arg("wish", () => Wish) wish: Wish, @Info() { fieldName }: { fieldName: string }): string {
    return `${fieldName} ${kindOf(wish)}`;
  }

  @Mutation(() => String)
  part(@Arg("wish", () => Wish) wish: Wish, @Ctx("who") who: string): string {
    return `${who} ${kindOf(wish)}`;
  }

  @FieldResolver(() => String)
  label(
    @Root() { name }: Thing,
    @Args(() => Range) { first }: Range,
    @Ctx() { who }: { who: string },
    @Arg("suffix", () => String) suffix: string,
  ): string {
    return `${who} ${name} ${first} ${suffix}`;
  }
}

let schema: GraphQLSchema;
beforeAll(async () => {
  const things = new Things();
  schema = await buildSchema({ resolvers: [Things], container: { get: () => things }, validate: false });
  callDirectly(schema, new Map([[Things, things]]));
});

const ask = (source: string) => graphql({ schema, source, contextValue: { who: "Ann" } });

it("a method gets its parameters in their order, with its own object, and its input as it was read", async () => {
  const { data } = await ask('mutation { wish(note: "soon", wish: { size: 3 }) }');
  expect(data).toEqual({ wish: "Ann 3 soon own read" });
  expect((await ask('{ one two(note: "soon") }')).data).toEqual({ one: "Ann own", two: "soon Ann own" });
});

it("a field's method gets what the field is of", async () => {
  const { data } = await ask('{ thing { label(first: 2, suffix: "!") other: label(suffix: "?") } }');
  expect(data).toEqual({ thing: { label: "Ann own 2 !", other: "Ann own undefined ?" } });
});

it("what a method throws is the field's error", async () => {
  const { errors } = await ask("mutation { refuse }");
  expect(errors?.map(({ message, path }) => [message, path])).toEqual([["refused", ["refuse"]]]);
});

it.each([
  ["middleware", "watched", "watched made"],
  ["the operation", "informed", "informed made"],
  ["a part of the context", "part", "Ann made"],
])("a method that needs %s is called by type-graphql", async (_, name, expected) => {
  const { data } = await ask(`mutation { ${name}(wish: { size: 3 }) }`);
  expect(data).toEqual({ [name]: expected });
});

"""`/v1/greetings` and `/v1/greetings/{name}`: a greeting for each name, kept as an object of the app that asks."""

import thingstead
from thingstead.model.errors import InvalidInput, NotFound


class Greeting(thingstead.Object):
    """One greeting; its id is `greeting:<name>`."""

    text: str = thingstead.stored("", required=True, size=(1, 200))


class Greetings(thingstead.Resource):
    """One path with one parameter; an app sees its own greetings only."""

    path = "greetings/{name}"

    async def get(self, request: thingstead.Request) -> thingstead.Reply:
        """The greeting of a name."""
        found = await request.app.dao.read(f"greeting:{request.path['name']}")
        if found is None:
            raise NotFound("nobody of that name is greeted", field="name")
        return {"name": request.path["name"], "text": found.properties.get("text", "")}

    async def put(self, request: thingstead.Request) -> thingstead.Reply:
        """Set it: `{"text": "Good morning"}`."""
        body = request.json()
        if not isinstance(body, dict) or not isinstance(body.get("text"), str):
            raise InvalidInput("'text' must be a text", field="text")
        greeting = Greeting(id=f"greeting:{request.path['name']}", text=str(body["text"]))
        if problems := await request.app.validate(greeting):
            raise InvalidInput(". ".join(problems), field="text")
        await greeting.create(request.app)
        return {"name": request.path["name"], "text": greeting.text}

    async def delete(self, request: thingstead.Request) -> thingstead.Reply:
        """Forget it."""
        return {"deleted": await request.app.dao.delete(f"greeting:{request.path['name']}")}

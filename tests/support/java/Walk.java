import com.erudika.para.client.ParaClient;
import com.erudika.para.core.App;
import com.erudika.para.core.ParaObject;
import com.erudika.para.core.Sysprop;
import com.erudika.para.core.Tag;
import com.erudika.para.core.User;
import com.erudika.para.core.utils.Pager;
import com.erudika.para.core.validation.Constraint;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/** Calls Para's Java client and checks what it gives: URL, access key, secret key. Prints each check that holds. */
public class Walk {
    static void check(String what, boolean holds) {
        System.out.println((holds ? "ok " : "FAILED ") + what);
    }

    static Sysprop thing(String id, String type, String name) {
        Sysprop made = new Sysprop(id);
        made.setType(type);
        made.setName(name);
        return made;
    }

    public static void main(String[] given) {
        ParaClient pc = new ParaClient(given[1], given[2]);
        pc.setEndpoint(given[0]);
        check("me", pc.me().getId().equals(given[1]) && pc.getApp().getId().equals(given[1]));
        check("version", pc.getServerVersion().startsWith("1"));

        Sysprop tom = thing("tom", "cat", "Tom");
        tom.addProperty("age", 5);
        tom.addProperty("text", "a little test to see if this shows up when similar texts are searched");
        tom.setTags(List.of("one", "two"));
        tom = pc.create(tom);
        check("create", tom.getId().equals("tom") && tom.getTimestamp() != null);
        Sysprop read = pc.read("cat", "tom");
        check("read", read.getName().equals("Tom") && ((Number) read.getProperty("age")).intValue() == 5);
        check("read by id", pc.read("tom").getType().equals("cat") && pc.read("cat", "none") == null);
        read.addProperty("age", 6);
        read.setName("Thomas");
        Sysprop updated = pc.update(read);
        check("update", updated.getName().equals("Thomas") && updated.getUpdated() != null);
        Sysprop odd = pc.create(thing("^ > < _ | ' ? = - + /\u0439", "cat", "Odd"));
        check("awkward id", pc.read("cat", odd.getId()).getName().equals("Odd"));
        pc.delete(odd);
        check("delete", pc.read("cat", odd.getId()) == null);
        Tag tag = pc.create(new Tag("home"));
        check("tag", tag.getId().equals("tag:home"));

        List<Sysprop> dogs = new ArrayList<>();
        for (int n = 0; n < 250; n++) {
            dogs.add(thing("dog" + n, "dog", "Dog " + n));
        }
        check("create all", pc.createAll(dogs).size() == 250);
        List<String> ids = new ArrayList<>();
        dogs.forEach(dog -> ids.add(dog.getId()));
        check("read all", pc.readAll(ids).size() == 250);
        dogs.get(0).setName("First");
        check("update all", pc.updateAll(dogs.subList(0, 2)).get(0).getName().equals("First"));
        check("list", pc.list("dog", new Pager(7)).size() == 7);
        check("count", pc.getCount("dog") == 250L && pc.getCount("dog", Map.of("id", "dog3")) == 1L);
        Pager pager = new Pager(100);
        pager.setSortby("_docid");
        int seen = 0;
        for (List<?> page = pc.findQuery("dog", "*", pager); !page.isEmpty(); page = pc.findQuery("dog", "*", pager)) {
            seen += page.size();
        }
        check("search after", seen == 250 && pager.getLastKey() != null);
        pc.deleteAll(ids);
        check("delete all", pc.getCount("dog") == 0L);

        check("find by id", pc.findById("tom").getName().equals("Thomas") && pc.findById("") == null);
        check("find by ids", pc.findByIds(List.of("tom", "none")).size() == 1);
        check("prefix", pc.findPrefix("cat", "name", "Thom").size() == 1);
        check("query", pc.findQuery("cat", "properties.age:6").size() == 1);
        check("tagged", pc.findTagged("cat", new String[] {"one", "two"}).size() == 1);
        check("tags", pc.findTags("ho").size() == 1);
        check("in list", pc.findTermInList("cat", "id", List.of("tom", "x")).size() == 1);
        check("terms", pc.findTerms("cat", Map.of("name", "Thomas"), true).size() == 1);
        check("wildcard", pc.findWildcard("cat", "name", "Th*").size() == 1);
        check("similar", pc.findSimilar("cat", "x", new String[] {"properties.text"}, "little test of similar texts").size() == 1);

        ParaObject house = pc.create(thing("house", "home", "House"));
        check("link", pc.link(tom, "house") != null && pc.isLinked(tom, house) && pc.countLinks(tom, "home") == 1L);
        check("linked", pc.getLinkedObjects(tom, "home").size() == 1);
        pc.unlink(tom, "home", "house");
        check("unlink", !pc.isLinked(tom, house));
        Sysprop kit = thing("kit", "cat", "Kit");
        kit.setParentid("house");
        pc.create(kit);
        check("children", pc.countChildren(house, "cat") == 1L && pc.getChildren(house, "cat").size() == 1);
        pc.deleteChildren(house, "cat");
        check("delete children", pc.read("cat", "kit") == null);

        check("votes", pc.voteUp(tom, "ann") && !pc.voteUp(tom, "ann") && pc.voteDown(tom, "ann"));
        check("ids", !pc.newId().equals(pc.newId()) && pc.getTimestamp() > 0);
        check("date", pc.formatDate("yyyy", Locale.US).length() == 4);
        check("spaces", pc.noSpaces(" a b ", "-").equals("a-b") && pc.stripAndTrim("a & b").equals("a b"));
        check("markdown", pc.markdownToHtml("**b**").equals("<p><strong>b</strong></p>\n"));
        check("types", pc.types().get("cats").equals("cat") && pc.typesCount().get("cat").intValue() == 1);
        pc.addValidationConstraint("cat", "chip", Constraint.required());
        check("constraints", pc.validationConstraints("cat").toString().contains("chip"));
        check("constraint holds", pc.create(thing("wild", "cat", "Wild")) == null);
        pc.removeValidationConstraint("cat", "chip", "required");
        check("no constraint", pc.create(thing("wild", "cat", "Wild")) != null);
        pc.addAppSetting("colour", "red");
        check("settings", pc.appSettings("colour").get("value").equals("red") && pc.appSettings().size() == 1);
        pc.removeAppSetting("colour");
        check("setting removed", pc.appSettings().isEmpty());
        check("rebuild", pc.rebuildIndex() != null);

        User user = pc.signIn("password", "ann@example.org:Ann:correct horse 1");
        check("sign in", user != null && user.getEmail().equals("ann@example.org") && pc.getAccessToken() != null);
        check("revoke tokens", pc.revokeAllTokens());
        pc.signOut();
        check("sign out", pc.getAccessToken() == null);
        pc.grantResourcePermission(user.getId(), "cat", App.AllowedMethods.READ);
        check("grant", pc.isAllowedTo(user.getId(), "cat", "GET") && !pc.isAllowedTo(user.getId(), "cat", "POST"));
        pc.revokeAllResourcePermissions(user.getId());
        check("revoke", !pc.isAllowedTo(user.getId(), "cat", "GET"));
        Map<String, String> keys = pc.newKeys();
        check("new keys", !keys.get("secretKey").equals(given[2]) && pc.me() != null);
        pc.close();
        System.out.println("done");
    }
}

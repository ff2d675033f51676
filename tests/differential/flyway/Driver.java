import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.flywaydb.core.Flyway;
import org.flywaydb.core.api.FlywayException;
import org.flywaydb.core.api.MigrationInfo;
import org.flywaydb.core.api.MigrationInfoService;
import org.flywaydb.core.api.MigrationVersion;
import org.flywaydb.core.api.callback.Event;
import org.flywaydb.core.api.configuration.FluentConfiguration;
import org.flywaydb.core.api.output.MigrateOutput;
import org.flywaydb.core.api.output.MigrateResult;
import org.flywaydb.core.api.output.ValidateOutput;
import org.flywaydb.core.api.output.ValidateResult;
import org.flywaydb.core.api.resolver.ResolvedMigration;
import org.flywaydb.core.internal.configuration.ConfigUtils;
import org.flywaydb.core.internal.info.MigrationInfoDumper;
import org.flywaydb.core.internal.info.MigrationInfoImpl;
import org.flywaydb.core.internal.resource.ResourceName;
import org.flywaydb.core.internal.resource.ResourceNameParser;
import org.flywaydb.database.postgresql.PostgreSQLConfigurationExtension;

/**
 * Lets tests ask the real Flyway. One JSON request per line on standard input, one JSON answer per line on
 * standard output: {"verb": "info", "settings": {"flyway.url": …, …}} and what the verb needs besides.
 */
public final class Driver {
    private static final ObjectMapper JSON = new ObjectMapper();

    public static void main(String[] arguments) throws Exception {
        PrintStream answers = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        System.setOut(System.err); // whatever Flyway logs must not stand between the answers
        BufferedReader requests = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        String line;
        while ((line = requests.readLine()) != null) {
            answers.println(JSON.writeValueAsString(answer(JSON.readTree(line))));
        }
    }

    private static Map<String, Object> answer(JsonNode request) {
        try {
            return Map.of("value", value(request));
        } catch (FlywayException refusal) {
            return Map.of("refusal", says(refusal), "code", String.valueOf(refusal.getErrorCode()));
        } catch (Exception failure) {
            return Map.of("failure", failure.getClass().getName() + ": " + failure.getMessage());
        }
    }

    private static Object value(JsonNode request) throws Exception {
        return switch (request.get("verb").asText()) {
            case "names" -> names(configured(request), request.get("names"));
            case "settings" -> settings(request);
            case "info" -> info(new Flyway(configured(request)).info());
            case "validate" -> validate(new Flyway(configured(request)));
            case "migrate" -> migrate(new Flyway(configured(request)));
            case "repair" -> new Flyway(configured(request)).repair().repairActions;
            case "baseline" -> new Flyway(configured(request)).baseline().successfullyBaselined;
            default -> throw new IllegalArgumentException("no such verb");
        };
    }

    private static FluentConfiguration configured(JsonNode request) {
        Map<String, String> settings = new HashMap<>();
        request.get("settings").fields().forEachRemaining(one -> settings.put(one.getKey(), one.getValue().asText()));
        String lock = settings.remove("flyway.postgresql.transactional.lock"); // not read from here without a parser
        FluentConfiguration made = Flyway.configure().configuration(settings);
        if (lock != null) {
            made.getConfigurationExtension(PostgreSQLConfigurationExtension.class)
                    .setTransactionalLock(Boolean.parseBoolean(lock));
        }
        return made;
    }

    private static String says(Throwable refusal) {
        return String.valueOf(refusal.getMessage());
    }

    private static List<Object> names(FluentConfiguration configuration, JsonNode names) {
        ResourceNameParser parser = new ResourceNameParser(configuration);
        List<Object> found = new ArrayList<>();
        for (JsonNode name : names) {
            ResourceName parsed = parser.parse(name.asText());
            Map<String, Object> one = new LinkedHashMap<>();
            one.put("valid", parsed.isValid());
            if (parsed.isValid()) {
                one.put("prefix", parsed.getPrefix());
                one.put("callback", Event.fromId(parsed.getPrefix()) != null);
                one.put("version", parsed.getVersion() == null ? null : parsed.getVersion().toString());
                one.put("description", parsed.getDescription());
                one.put("suffix", parsed.getSuffix());
            }
            found.add(one);
        }
        return found;
    }

    /** What Flyway makes of a .conf file's text: its keys and values, and the settings that come of them. */
    private static Map<String, Object> settings(JsonNode request) throws Exception {
        Map<String, String> read = ConfigUtils.loadConfigurationFromString(request.get("text").asText());
        FluentConfiguration made = Flyway.configure().configuration(read);
        Map<String, Object> found = new LinkedHashMap<>();
        found.put("keys", read);
        found.put("encoding", made.getEncoding().name());
        found.put("schemas", made.getSchemas());
        found.put("default_schema", made.getDefaultSchema());
        found.put("table", made.getTable());
        found.put("versioned_prefix", made.getSqlMigrationPrefix());
        found.put("repeatable_prefix", made.getRepeatableSqlMigrationPrefix());
        found.put("separator", made.getSqlMigrationSeparator());
        found.put("suffixes", made.getSqlMigrationSuffixes());
        found.put("placeholders", made.getPlaceholders());
        found.put("placeholder_prefix", made.getPlaceholderPrefix());
        found.put("placeholder_suffix", made.getPlaceholderSuffix());
        found.put("placeholder_separator", made.getPlaceholderSeparator());
        found.put("placeholder_replacement", made.isPlaceholderReplacement());
        found.put("out_of_order", made.isOutOfOrder());
        found.put("validate_on_migrate", made.isValidateOnMigrate());
        found.put("validate_naming", made.isValidateMigrationNaming());
        List<String> patterns = new ArrayList<>();
        for (Object pattern : made.getIgnoreMigrationPatterns()) patterns.add(pattern.toString());
        found.put("ignore_patterns", patterns);
        return found;
    }

    /** What one info says: line by line, as the table that people see, and the current version. */
    private static Map<String, Object> info(MigrationInfoService said) {
        return Map.of(
            "lines", lines(said.all()),
            "table", MigrationInfoDumper.dumpToAsciiTable(said.all()),
            "current", String.valueOf(current(said.current())));
    }

    private static List<Object> lines(MigrationInfo[] all) {
        List<Object> lines = new ArrayList<>();
        for (MigrationInfo one : all) {
            ResolvedMigration file = ((MigrationInfoImpl) one).getResolvedMigration();
            Map<String, Object> line = new LinkedHashMap<>();
            line.put("version", one.getVersion() == null ? null : one.getVersion().toString());
            line.put("description", one.getDescription());
            line.put("type", one.getType().name());
            line.put("script", one.getScript());
            line.put("state", one.getState().getDisplayName());
            line.put("rank", one.getInstalledRank());
            line.put("checksum", one.getChecksum());
            line.put("file", file == null ? null : file.getScript());
            line.put("file_checksum", file == null ? null : file.getChecksum());
            lines.add(line);
        }
        return lines;
    }

    private static Object current(MigrationInfo one) {
        return one == null || one.getVersion() == null ? MigrationVersion.EMPTY : one.getVersion();
    }

    private static Map<String, Object> validate(Flyway flyway) {
        ValidateResult result = flyway.validateWithResult();
        List<Object> complaints = new ArrayList<>();
        if (result.invalidMigrations != null) {
            for (ValidateOutput one : result.invalidMigrations) {
                complaints.add(Map.of(
                    "version", one.version,
                    "description", one.description,
                    "code", one.errorDetails.errorCode.toString(),
                    "message", one.errorDetails.errorMessage));
            }
        }
        return Map.of("passes", result.validationSuccessful, "complaints", complaints);
    }

    private static List<Object> migrate(Flyway flyway) {
        MigrateResult result = flyway.migrate();
        List<Object> ran = new ArrayList<>();
        for (MigrateOutput one : result.migrations) {
            ran.add(Map.of("version", one.version, "description", one.description, "path", one.filepath));
        }
        return ran;
    }
}
